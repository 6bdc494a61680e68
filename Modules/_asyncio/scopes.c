/* Cancel scopes: the one tree through which asyncio cancels.

   Included by _asynciomodule.c.  Lib/asyncio/cancelscopes.py is the same in
   Python and begins with the explanation of the tree.  In short:
   a node is effectively cancelled if it has a canceller, which is a node whose
   cancel was requested: itself, or an ancestor with no shield in between.  A
   request of Task.cancel() is a canceller for the scopes of that task only;
   what reaches the tasks below a node is its member_canceller.

   scope_mark() restores that below a node after any change and runs no Python
   code.  It collects the tasks that are blocked in a scope that has just
   become cancelled; scope_interrupt_all() then interrupts them, and since
   anything can happen in there, it looks at each of them afresh.

   The tree belongs to the thread that runs the event loop, like the rest of a
   loop's state, and code in another thread goes through
   loop.call_soon_threadsafe().  For code that does not, and for what the
   garbage collector does in other threads, a free-threaded build has locks,
   which are explained beside tree_lock().

   Cancellation as a task sees it
   ------------------------------

   task_fut_waiter tells what the task waits for; it is set from the yield of
   a Future to the beginning of the next step.

                  yields a pending Future
        +---------------------------------------> BLOCKED
        |          task_interrupt()                  |
     RUNNING                                         | the Future is done
        |      yields nothing                        v
        +---------------------------------------> SCHEDULED
        ^                                            |
        +--------------------------------------------+
                 task_exception_for_step()

   If the task's current scope (task_scope) has a canceller
     - on entering BLOCKED, or when it gets one while BLOCKED, the Future is
       asked to cancel, once (task_cancel_sent) for as long as there is a
       canceller, and its outcome is kept;
     - on leaving SCHEDULED after a bare yield, CancelledError is thrown.

   Task.cancel() makes its request to the task's own scope; or to a shielded
   scope, if the request comes from code that was started in there: see
   requests.c.

   Before the first step (task_started) nothing is thrown, so that a coroutine
   always gets the chance to reach its first try block.

   task_must_cancel and task_started are written in this file, in requests.c,
   in Task.__init__() and in task_step_impl() only, in the critical section of
   the task.  task_cancel_sent is cleared under the lock of the tree as well,
   so it is atomic.
*/

/* What is known of the task that is being made in this thread: how the
   scope that it is to hang below, and what is to become of its errors, pass
   through any loop and any task factory, in time for an eager first
   step.  The first asyncio task that is initialized claims them.  If the
   factory returns another object than that, it is an external task. */
typedef struct {
    asyncio_state *state;       /* of the interpreter that makes the task */
    PyObject *scope;            /* borrowed; NULL: the root of the loop.  One
                                   of a pure-Python tree is passed on. */
    task_errors_mode errors;
    bool refused;               /* the task cannot hang below that scope */
    PyObject *claimed_by;       /* owned */
} spawning_slot;

/* NULL again as soon as it has been claimed. */
static _Py_thread_local spawning_slot *spawning;


/* In requests.c. */
static scope_node *scope_hand_up_requests(scope_node *node);
static ShieldMarkObj *scope_take_mark(CancelScopeObj *self, PyObject **token);
static void task_release_requests(TaskObj *task, bool all);
static PyObject *task_shielded_msg(TaskObj *task, scope_node *scope);
static PyObject *task_pending_msg(TaskObj *task);
static void task_clear_pending(TaskObj *task);
static void task_settle_pending(asyncio_state *state, TaskObj *task,
                                bool by_scope);
/* In deadlines.c. */
static LoopStateObj *loop_state_of(asyncio_state *state, PyObject *loop);
static CancelScopeObj *loop_state_root(LoopStateObj *self);


/* ----- The tree ----- */

/* Where there is no GIL, the LoopStateObj of each event loop has a lock.  It
   guards the fields of a scope_node and of a CancelScope, task_scope, and the
   LoopStateObj itself.  cs_deadline is changed only in the critical section of
   the scope as well, so either will do to read it.  Nodes that have no loop
   yet share a lock.

   Nothing may happen while a lock is held: no reference is dropped that could
   be the last, and no lock is taken that another thread could hold for long.
   So whatever runs Python code comes after tree_unlock(), and what it could
   change is looked up anew.

   Blocking on a lock releases the critical sections of the thread: read
   again after tree_lock() what was read in one of them before. */
#ifdef Py_GIL_DISABLED

#  define LOCK_LOOP_TABLE(table) PyMutex_Lock(&(table)->mutex)
#  define UNLOCK_LOOP_TABLE(table) PyMutex_Unlock(&(table)->mutex)

/* That of the nodes which have no loop yet. */
static PyMutex new_nodes_mutex;

static inline PyMutex *
loop_state_mutex(LoopStateObj *state)
{
    return state == NULL ? &new_nodes_mutex : &state->ls_mutex;
}

#else

#  define LOCK_LOOP_TABLE(table)
#  define UNLOCK_LOOP_TABLE(table)

#endif

static inline void
loop_state_lock(LoopStateObj *state)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Lock(loop_state_mutex(state));
#endif
}

static inline void
loop_state_unlock(LoopStateObj *state)
{
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(loop_state_mutex(state));
#endif
}

static inline LoopStateObj *
node_loop_state(scope_node *node)
{
    return FT_ATOMIC_LOAD_PTR_ACQUIRE(node->loop_state);
}

static inline void
tree_lock(scope_node *node)
{
#ifdef Py_GIL_DISABLED
    for (;;) {
        LoopStateObj *state = node_loop_state(node);
        loop_state_lock(state);
        if (state == node_loop_state(node)) {
            return;
        }
        loop_state_unlock(state);
    }
#endif
}

static inline void
tree_unlock(scope_node *node)
{
    loop_state_unlock(node_loop_state(node));
}

/* The CancelScope of a node that is not a task's own scope. */
static inline CancelScopeObj *
scope_of_node(scope_node *node)
{
    assert(!node->is_task);
    return _Py_CONTAINER_OF(node, CancelScopeObj, cs_node);
}

/* Let a node that is in no tree belong to a loop.  Return what is to be
   released when the node has been put into the tree, or NULL.  The tree of
   the node is not locked; everything may have happened when it is. */
static PyObject *
node_set_loop_state(scope_node *node, LoopStateObj *state)
{
    tree_lock(node);
    LoopStateObj *old = node->loop_state;
    if (!node->is_task && scope_of_node(node)->cs_state != SCOPE_NEW) {
        state = old;    /* Another thread has entered the scope. */
    }
    if (old != state) {
        FT_ATOMIC_STORE_PTR_RELEASE(node->loop_state,
                                    (LoopStateObj *)Py_NewRef(state));
    }
    loop_state_unlock(old);
#ifdef Py_GIL_DISABLED
    /* Another thread may be waiting for its lock, so it is never
       released.  This happens only to a task that is initialized twice, and
       to a scope that could not be entered in another loop before. */
    return NULL;
#else
    return old == state ? NULL : (PyObject *)old;
#endif
}

/* Get a reference to what is found in a tree, unless it is being
   deallocated. */
static inline bool
try_incref(PyObject *op)
{
#ifdef Py_GIL_DISABLED
    /* _Py_TryIncref() takes it for granted that what belongs to this thread
       has references. */
    if (_Py_IsOwnedByCurrentThread(op)
        && _Py_atomic_load_uint32_relaxed(&op->ob_ref_local) == 0)
    {
        return false;
    }
#endif
    return _Py_TryIncref(op);
}

/* Return true if the code that the task runs is to be interrupted.  Each
   yield asks that, without a lock: a task's current scope changes in its
   own thread, unless another one drops the last reference to it.  A step
   that takes place looks again. */
static inline bool
task_is_cancelled(TaskObj *task)
{
    scope_node *scope = FT_ATOMIC_LOAD_PTR_RELAXED(task->task_scope);
    return FT_ATOMIC_LOAD_PTR_RELAXED(scope->canceller) != NULL;
}

/* Return true if a scope is in the tree of a loop, which is locked. */
static inline bool
scope_belongs_to(CancelScopeObj *scope, LoopStateObj *state)
{
    return node_loop_state(&scope->cs_node) == state
        && (scope->cs_in_tree || scope->cs_is_root);
}

/* The module state, found at once unless the type is a subclass. */
static inline asyncio_state *
scope_module_state(CancelScopeObj *scope)
{
    PyTypeObject *tp = Py_TYPE(scope);
    return tp->tp_dealloc == CancelScope_dealloc
        ? get_asyncio_state_by_cls(tp)
        : get_asyncio_state_by_def((PyObject *)scope);
}

/* The outside cancellation that is visible through the scope. */
static inline scope_node *
scope_outer_canceller(scope_node *node)
{
    scope_node *parent = node->parent;
    if (node->shield || parent == NULL) {
        return NULL;
    }
    /* What Task.cancel() asks of another task stays with that task. */
    return parent->host == node->host ? parent->canceller
                                      : parent->member_canceller;
}

/* What member_canceller has to be.  A scope that was requested below a
   cancelled one goes with that, which came first.  (An own scope gets its
   request only when it loses the other.) */
static inline scope_node *
scope_find_member_canceller(scope_node *node)
{
    scope_node *outer = node->shield || node->parent == NULL ? NULL
        : node->parent->member_canceller;
    return node->requested
        && (outer == NULL || node->is_task || node->member_canceller == NULL
            || node->member_canceller == node) ? node : outer;
}

/* What canceller has to be, if `member_canceller` is right. */
static inline scope_node *
scope_find_canceller(scope_node *node, scope_node *member_canceller)
{
    return node->host_requested || member_canceller == node
        ? node : scope_outer_canceller(node);
}

/* The values of task_cancel_sent. */
enum {
    NOT_SENT,
    SENDING,                    /* what it waits for is just being asked */
    SENDING_TO_SELF,            /* and that has asked the task in turn */
    SENT,
};

static inline uint8_t
task_get_cancel_sent(TaskObj *task)
{
    return FT_ATOMIC_LOAD_UINT8_RELAXED(task->task_cancel_sent);
}

static inline void
task_set_cancel_sent(TaskObj *task, uint8_t sent)
{
    FT_ATOMIC_STORE_UINT8_RELAXED(task->task_cancel_sent, sent);
}

/* The task's code is not cancelled any more: if it is again, what the task
   waits for is asked again.  (But not while it is just being asked.) */
static inline void
task_forget_cancel_sent(TaskObj *task)
{
    if (task_get_cancel_sent(task) == SENT) {
        task_set_cancel_sent(task, NOT_SENT);
    }
}

/* The tree owns nothing, so what is found in it may be about to be
   deallocated: a task, or a scope that has a group, can only be used with a
   reference that could be had.  These return a new one, or NULL. */
static TaskObj *
scope_host(scope_node *node)
{
    TaskObj *host = node->host;
    return host != NULL && try_incref((PyObject *)host) ? host : NULL;
}

static CancelScopeObj *
task_group_scope(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    if (!own->is_member) {
        return NULL;
    }
    CancelScopeObj *scope = scope_of_node(own->parent);
    return try_incref((PyObject *)scope) ? scope : NULL;
}

/* Return true if no shield stands between `outer` and the scope `inner`. */
static bool
scope_is_visible(scope_node *outer, scope_node *inner)
{
    for (; inner != outer; inner = inner->parent) {
        if (inner->shield) {
            return false;
        }
    }
    return true;
}

/* The scope, if this is one that has a group. */
static inline CancelScopeObj *
scope_with_group(scope_node *node)
{
    if (node == NULL || node->is_task) {
        return NULL;
    }
    CancelScopeObj *scope = scope_of_node(node);
    return scope->cs_group == NULL
        || (PyWeakref_Check(scope->cs_group)
            && PyWeakref_IsDead(scope->cs_group)) ? NULL : scope;
}

/* The innermost scope that has a group, from `node` outwards: a new reference,
   or NULL. */
static CancelScopeObj *
scope_find_group(scope_node *node)
{
    for (; node != NULL; node = node->parent) {
        CancelScopeObj *scope = scope_with_group(node);
        if (scope != NULL && try_incref((PyObject *)scope)) {
            return scope;
        }
    }
    return NULL;
}

/* Let a task whose own scope is below a CancelScope be a member of that, if
   the task has been initialized. */
static void
task_enroll(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    if (own->parent != NULL && !own->parent->is_task && own->is_ready
        && !own->is_member && try_incref((PyObject *)task))
    {
        own->is_member = 1;
        scope_of_node(own->parent)->cs_members++;
    }
}

/* Change the parent of a node that is in the tree, but not what follows from
   it.  Return the task if it has been a member and is none any more, to be
   released, else NULL. */
static PyObject *
scope_set_parent(scope_node *node, scope_node *parent)
{
    bool was_member = node->is_member;
    if (node->parent != NULL) {
        if (was_member) {
            scope_of_node(node->parent)->cs_members--;
            node->is_member = 0;
        }
        llist_remove(&node->siblings);
    }
    node->parent = parent;
    if (parent != NULL) {
        llist_insert_tail(&parent->children, &node->siblings);
        if (node->is_task) {
            task_enroll(node->host);
        }
    }
    if (was_member) {
        if (!node->is_member) {
            return (PyObject *)node->host;
        }
        Py_DECREF(node->host);  /* There are two now. */
    }
    return NULL;
}

/* Put a node that belongs to a loop into its tree. */
static void
scope_attach(scope_node *node, scope_node *parent)
{
    node->parent = parent;
    llist_init(&node->children);
    if (parent != NULL) {
        llist_insert_tail(&parent->children, &node->siblings);
    }
    node->member_canceller = scope_find_member_canceller(node);
    FT_ATOMIC_STORE_PTR_RELAXED(
        node->canceller, scope_find_canceller(node, node->member_canceller));
}

/* The node after `node` in the subtree of `top`, in pre-order; those below
   `node` are left out unless `descend`. */
static scope_node *
scope_next(scope_node *node, scope_node *top, bool descend)
{
    if (descend && !llist_empty(&node->children)) {
        return llist_data(node->children.next, scope_node, siblings);
    }
    while (node != top) {
        struct llist_node *next = node->siblings.next;
        if (next != &node->parent->children) {
            return llist_data(next, scope_node, siblings);
        }
        node = node->parent;
    }
    return NULL;
}

/* Append a task or a scope to the list *hosts, which is made if it is NULL. */
static int
hosts_append(PyObject **hosts, void *host)
{
    if (*hosts == NULL) {
        *hosts = PyList_New(0);
        if (*hosts == NULL) {
            return -1;
        }
        /* A private list: hide it from gc.get_objects(). */
        PyObject_GC_UnTrack(*hosts);
    }
    /* Another thread may be about to deallocate it and wait for the lock. */
    if (!try_incref((PyObject *)host)) {
        return 0;
    }
    return _PyList_AppendTakeRef((PyListObject *)*hosts, (PyObject *)host);
}

/* Return true if the task may be blocked.  Without a GIL that can only be seen
   in its critical section, where task_interrupt() looks. */
static inline bool
task_may_be_blocked(TaskObj *task)
{
#ifdef Py_GIL_DISABLED
    return true;
#else
    return task->task_fut_waiter != NULL;
#endif
}

/* Restore the invariant from `top` down.  Append the tasks that are blocked in
   a scope that this has cancelled to the list *hosts, which is made if it is
   NULL, and the scopes whose groups want to know.  Runs no Python code.

   The tree is sound even after a failure (no memory for the list: -1). */
static int
scope_mark(scope_node *top, PyObject **hosts)
{
    int res = 0;
    bool changed;

    for (scope_node *node = top; node != NULL;
         node = scope_next(node, top, changed))
    {
        scope_node *member_canceller = scope_find_member_canceller(node);
        scope_node *canceller = scope_find_canceller(node, member_canceller);
        changed = canceller != node->canceller
            || member_canceller != node->member_canceller;
        if (!changed) {
            continue;
        }
        TaskObj *host = node->host;
        void *told = NULL;
        if (node->member_canceller == NULL && member_canceller != NULL) {
            if (node->overrides_cancel) {
                node->cancel_due = 1;
                told = host;
            }
            else if (!node->is_task && scope_of_node(node)->cs_watched) {
                told = scope_of_node(node);
            }
        }
        if (told != NULL && hosts_append(hosts, told) < 0) {
            res = -1;
        }
        if (host != NULL && host->task_scope == node) {
            if (canceller == NULL) {
                task_forget_cancel_sent(host);
            }
            else if (node->canceller == NULL && told != host
                     && task_may_be_blocked(host)
                     && hosts_append(hosts, host) < 0)
            {
                res = -1;
            }
        }
        node->member_canceller = member_canceller;
        FT_ATOMIC_STORE_PTR_RELAXED(node->canceller, canceller);
    }
    return res;
}

/* Clear the shields below `root`; see scope_mark() for the rest. */
static int
scope_disable_shields(scope_node *root, PyObject **hosts)
{
    int res = 0;
    for (scope_node *node = root; node != NULL;
         node = scope_next(node, root, true))
    {
        if (node->shield) {
            node->shield = 0;
            if (scope_mark(node, hosts) < 0) {
                res = -1;
            }
        }
    }
    return res;
}

/* Take a node out of the tree; what is below it moves up to `new_parent`, one
   of its ancestors, or NULL; tasks move up to the next CancelScope. */
static int
scope_detach(scope_node *node, scope_node *new_parent, PyObject **hosts)
{
    int res = 0;

    if (!node->is_task) {
        scope_hand_up_requests(node);
    }
    scope_node *owner = new_parent;
    while (owner != NULL && owner->is_task) {
        owner = owner->parent;
    }
    while (!llist_empty(&node->children)) {
        scope_node *child = llist_data(node->children.next,
                                       scope_node, siblings);
        PyObject *released = scope_set_parent(
            child, child->is_task ? owner : new_parent);
        if (scope_mark(child, hosts) < 0) {
            res = -1;
        }
        if (released != NULL) {
            /* Not here, under the lock. */
            if (hosts_append(hosts, released) < 0) {
                res = -1;
            }
            else {
                Py_DECREF(released);
            }
        }
    }
    if (node->parent != NULL) {
        llist_remove(&node->siblings);
    }
    node->parent = NULL;
    node->member_canceller = NULL;
    FT_ATOMIC_STORE_PTR_RELAXED(node->canceller, NULL);
    if (!node->is_task) {
        node->host = NULL;
        scope_of_node(node)->cs_in_tree = 0;
    }
    return res;
}


/* ----- Errors that have no caller ----- */

/* Return true if the exception must not be lost: it is what ends a loop. */
static bool
is_interrupt(PyObject *exc)
{
    return PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt)
        || PyErr_GivenExceptionMatches(exc, PyExc_SystemExit);
}

/* Give the current exception to the exception handler of the loop, with a
   message and the task, which may be NULL.  If it is a KeyboardInterrupt or
   SystemExit, or the handler raises one: -1, and that is the exception. */
static int
report_error(PyObject *loop, PyObject *task, const char *message)
{
    if (is_interrupt(PyErr_Occurred())) {
        return -1;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *report = cancelscopes_attr("_report");
    PyObject *res = report == NULL ? NULL
        : PyObject_CallFunction(report, "OOsO", loop == NULL ? Py_None : loop,
                                exc, message, task == NULL ? Py_None : task);
    Py_XDECREF(report);
    bool reported = res != NULL && Py_IsTrue(res);
    Py_XDECREF(res);
    if (res == NULL && is_interrupt(PyErr_Occurred())) {
        Py_DECREF(exc);
        return -1;
    }
    if (!reported) {
        PyErr_Clear();
        PyErr_SetRaisedException(Py_NewRef(exc));
        PyErr_FormatUnraisable("Exception ignored: %s", message);
    }
    Py_DECREF(exc);
    return 0;
}

/* Report the current exception where nothing can propagate: an interrupt is
   raised by the loop soon. */
static void
task_report(TaskObj *task, const char *message)
{
    if (report_error(task->task_loop, (PyObject *)task, message) == 0) {
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *raise = cancelscopes_attr("_raise_soon");
    PyObject *res = raise == NULL ? NULL : PyObject_CallFunctionObjArgs(
        raise, exc, task->task_loop, NULL);
    Py_XDECREF(raise);
    Py_DECREF(exc);
    if (res == NULL) {
        PyErr_FormatUnraisable("Exception ignored: %s", message);
    }
    Py_XDECREF(res);
}

/* Go on with what must not be left half done: keep the current exception, the
   latest one, in *error. */
static void
keep_error(PyObject **error)
{
    Py_XSETREF(*error, PyErr_GetRaisedException());
}

/* Raise an error that was kept, if there is one: -1, else 0. */
static int
raise_kept(PyObject *error)
{
    if (error == NULL) {
        return 0;
    }
    PyErr_SetRaisedException(error);
    return -1;
}

static const char in_group[] = "Exception in a callback of a cancel scope";
static const char in_cancel[] = "Exception while a task was cancelled";
static const char in_end[] = "Exception at the end of a task";


/* ----- Groups ----- */

/* The loop of an active scope, borrowed, or NULL.  The tree is locked. */
static inline PyObject *
scope_loop_lock_held(CancelScopeObj *self)
{
    return self->cs_loop != NULL ? self->cs_loop
        : self->cs_node.host != NULL ? self->cs_node.host->task_loop : NULL;
}

/* The same, a new reference. */
static PyObject *
scope_loop(CancelScopeObj *self)
{
    tree_lock(&self->cs_node);
    PyObject *loop = Py_XNewRef(scope_loop_lock_held(self));
    tree_unlock(&self->cs_node);
    return loop;
}

/* What cs_group refers to, a new reference, or NULL. */
static PyObject *
resolve_group(PyObject *group)
{
    if (group == NULL || !PyWeakref_Check(group)) {
        return Py_XNewRef(group);
    }
    PyObject *found = NULL;
    if (PyWeakref_GetRef(group, &found) < 0) {
        PyErr_Clear();
    }
    return found;
}

/* Call a method of what cs_group refers to, if that exists. */
static int
call_group(PyObject *group, const char *name, PyObject *arg1, PyObject *arg2)
{
    group = resolve_group(group);
    if (group == NULL) {
        return 0;
    }
    /* Interned, or each call would take another entry of the method cache. */
    PyObject *name_obj = PyUnicode_InternFromString(name);
    PyObject *method = name_obj == NULL ? NULL
        : PyObject_GetAttr(group, name_obj);
    Py_XDECREF(name_obj);
    PyObject *res = method == NULL ? NULL
        : PyObject_CallFunctionObjArgs(method, arg1, arg2, NULL);
    Py_XDECREF(method);
    Py_XDECREF(res);
    Py_DECREF(group);
    return res == NULL ? -1 : 0;
}

/* Report the current exception, of a callback of the group of a scope. */
static int
scope_report_error(CancelScopeObj *scope)
{
    PyObject *loop = scope_loop(scope);
    if (loop == NULL) {
        PyErr_FormatUnraisable("Exception ignored: %s", in_group);
        return 0;
    }
    int res = report_error(loop, NULL, in_group);
    Py_DECREF(loop);
    return res;
}

/* Tell the group of a scope something, with up to two arguments. */
static int
group_call(CancelScopeObj *scope, const char *name,
           PyObject *arg1, PyObject *arg2)
{
    tree_lock(&scope->cs_node);
    PyObject *group = Py_XNewRef(scope->cs_group);
    tree_unlock(&scope->cs_node);
    int res = group == NULL ? 0 : call_group(group, name, arg1, arg2);
    Py_XDECREF(group);
    return res;
}


/* ----- Delivery ----- */

/* What the request that was made to the scope has to say, a new
   reference.  The tree is locked. */
static PyObject *
scope_msg(scope_node *node)
{
    PyObject *msg = node->is_task && node->requested
        ? node->host->task_inherited_msg : node->msg;
    if (msg != NULL) {
        return Py_NewRef(msg);
    }
    /* (A timeout says it with its TimeoutError.) */
    if (!node->is_task && scope_of_node(node)->cs_expired
        && !scope_of_node(node)->cs_movable)
    {
        msg = PyUnicode_FromString("deadline exceeded");
        if (msg != NULL) {
            return msg;
        }
        PyErr_Clear();      /* The message is not worth the request. */
    }
    Py_RETURN_NONE;
}

static PyMethodDef TaskWakeupDef;
static int task_call_step_soon(asyncio_state *state, TaskObj *, PyObject *);

/* The task waits for itself, perhaps through other tasks, so nothing else will
   end that.  Let it go on with CancelledError.  Return 1 if it does, 0 if its
   waiter is done.  `waiter` is owned by the caller. */
static int
task_stop_waiting(TaskObj *task, PyObject *waiter, PyObject *msg)
{
    asyncio_state *state = get_asyncio_state_by_def((PyObject *)task);
    PyObject *wakeup = PyCFunction_New(&TaskWakeupDef, (PyObject *)task);
    if (wakeup == NULL) {
        return -1;
    }
    PyObject *res = PyObject_CallMethod(waiter, "remove_done_callback", "O",
                                        wakeup);
    Py_DECREF(wakeup);
    int removed = res == NULL ? -1 : PyObject_IsTrue(res);
    Py_XDECREF(res);
    if (removed <= 0) {
        return removed;
    }
    if (Future_Check(state, waiter) || Task_Check(state, waiter)) {
        Py_BEGIN_CRITICAL_SECTION(waiter);
        removed = future_awaited_by_discard(state, (FutureObj *)waiter,
                                            (PyObject *)task);
        Py_END_CRITICAL_SECTION();
        if (removed < 0) {
            return -1;
        }
    }
    PyObject *forget = cancelscopes_attr("_forget_cancellation");
    res = forget == NULL ? NULL
        : PyObject_CallMethod(waiter, "add_done_callback", "O", forget);
    Py_XDECREF(forget);
    if (res == NULL) {
        task_report(task, in_cancel);
    }
    Py_XDECREF(res);
    if (task->task_fut_waiter != waiter) {
        return 1;   /* What was called here has let it go on already. */
    }
    Py_CLEAR(task->task_fut_waiter);
    PyObject *exc = Py_IsNone(msg)
        ? PyObject_CallNoArgs(state->asyncio_CancelledError)
        : PyObject_CallOneArg(state->asyncio_CancelledError, msg);
    if (exc == NULL) {
        return -1;
    }
    int failed = task_call_step_soon(state, task, exc);
    Py_DECREF(exc);
    return failed ? -1 : 1;
}

/* Call task_fut_waiter.cancel(msg): 1 if it takes the request, 0 if not. */
static int
cancel_waiter(TaskObj *task, PyObject *msg)
{
    uint8_t sent = task_get_cancel_sent(task);
    if (sent == SENDING || sent == SENDING_TO_SELF) {
        task_set_cancel_sent(task, SENDING_TO_SELF);
        return 1;
    }
    task_set_cancel_sent(task, SENDING);
    /* Both are referred to here: a hostile cancel() could make the task drop
       them (gh-126138). */
    PyObject *waiter = Py_NewRef(task->task_fut_waiter);
    PyObject *res = PyObject_CallMethodOneArg(waiter, &_Py_ID(cancel), msg);
    bool itself = task_get_cancel_sent(task) == SENDING_TO_SELF;
    if (task->task_fut_waiter == waiter) {
        task_set_cancel_sent(task, SENT);
    }
    int taken = res == NULL ? -1 : PyObject_IsTrue(res);
    Py_XDECREF(res);
    if (taken >= 0 && itself && task->task_fut_waiter == waiter) {
        int stopped = task_stop_waiting(task, waiter, msg);
        if (stopped != 0) {
            taken = stopped;
        }
    }
    Py_DECREF(waiter);
    return taken;
}

/* What the scope that cancels the task's code has to say, a new reference, or
   NULL if there is no such scope. */
static PyObject *
task_canceller_msg(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    scope_node *canceller = task->task_scope->canceller;
    PyObject *msg = canceller == NULL ? NULL
        : canceller->requested ? scope_msg(canceller)
        : task_shielded_msg(task, canceller);
    tree_unlock(own);
    return msg;
}

/* In debug mode: what the task waits for is about to be asked to give up,
   while it handles a CancelledError; report that if that is hardly what the
   program wants. */
static void
task_check_waiter(TaskObj *task)
{
    PyObject *exc = Py_NewRef(task->task_delivered_exc);
    if (!Py_IsNone(exc)) {
        PyObject *check = cancel_debug_attr("_check_awaited");
        PyObject *res = check == NULL ? NULL
            : PyObject_CallFunctionObjArgs(check, task, exc, NULL);
        Py_XDECREF(check);
        if (res == NULL) {
            task_report(task, "Exception in the debug report of a task");
        }
        Py_XDECREF(res);
    }
    Py_DECREF(exc);
}

/* The coroutine is interrupted, or what it waits for has agreed to give up:
   note it for _was_interrupted(), if a cancellation from outside is a
   reason, and for the scope where that begins. */
static void
task_note_interruption(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    scope_node *canceller = task->task_scope->canceller;
    if (canceller != NULL && canceller->requested && !canceller->is_task) {
        canceller->interrupted = 1;
    }
    if (!own->interrupted
        && (own->requested || scope_outer_canceller(own) != NULL)
        && scope_is_visible(own, task->task_scope))
    {
        own->interrupted = 1;
    }
    tree_unlock(own);
}

static int
task_interrupt_lock_held(TaskObj *task)
{
    _Py_CRITICAL_SECTION_ASSERT_OBJECT_LOCKED(task);

    if (task->task_fut_waiter == NULL || task_get_cancel_sent(task)) {
        return 0;
    }
    PyObject *msg = task_canceller_msg(task);
    bool by_scope = msg != NULL;
    if (!by_scope) {
        msg = task_pending_msg(task);
        if (msg == NULL) {
            return 0;
        }
    }
    if (task->task_delivered_exc != NULL && by_scope) {
        task_check_waiter(task);
    }
    /* It may have gone on meanwhile, or while this waited for the lock. */
    if (task->task_fut_waiter == NULL || task_get_cancel_sent(task)) {
        Py_DECREF(msg);
        return 0;
    }
    int res = cancel_waiter(task, msg);
    Py_DECREF(msg);
    if (res < 0) {
        return -1;
    }
    if (res) {
        task_note_interruption(task);
    }
    if (res && task->task_must_cancel
        && (!by_scope
            || get_asyncio_state_by_def((PyObject *)task)->level_cancel))
    {
        /* The CancelledError stands for the requests of Task.cancel() too. */
        task_clear_pending(task);
    }
    return 0;
}

/* The same at the yield of a Future.  An error is reported, but for an
   interrupt: -1. */
static int
task_interrupt_at_yield(TaskObj *task)
{
    return task_interrupt_lock_held(task) == 0 ? 0
        : report_error(task->task_loop, (PyObject *)task, in_cancel);
}

/* If the task overrides cancel(), and has been cancelled with the scope
   that it hangs below, call that. */
static int
task_call_cancel(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    PyObject *msg = own->cancel_due && own->member_canceller != NULL
        ? scope_msg(own->member_canceller) : NULL;
    own->cancel_due = 0;
    tree_unlock(own);
    if (msg == NULL) {
        return 0;
    }
    PyObject *res = NULL;
    if (task->task_state == STATE_PENDING) {
        PyObject *cancel = cancelscopes_attr("_call_cancel");
        res = cancel == NULL ? NULL : PyObject_CallFunctionObjArgs(
            cancel, task, msg, NULL);
        Py_XDECREF(cancel);
    }
    else {
        res = Py_NewRef(Py_None);
    }
    Py_DECREF(msg);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* If the task's scope is cancelled, ask what the task is blocked on to give
   up: once a yield.  An error is reported, but for an interrupt: -1. */
static int
task_interrupt(TaskObj *task)
{
    PyObject *error = NULL;
    if (task->task_own_scope.overrides_cancel && task_call_cancel(task) < 0
        && report_error(task->task_loop, (PyObject *)task, in_cancel) < 0)
    {
        keep_error(&error);
    }
    PyThreadState *tstate = _PyThreadState_GET();
    int res = 0;
    /* (If it runs in this thread, it has its critical section already.) */
    if (((_PyThreadStateImpl *)tstate)->asyncio_running_task
            != (PyObject *)task
        || task->task_fut_waiter != NULL)
    {
        Py_BEGIN_CRITICAL_SECTION(task);
        res = task_interrupt_lock_held(task);
        Py_END_CRITICAL_SECTION();
    }
    if (res < 0
        && report_error(task->task_loop, (PyObject *)task, in_cancel) < 0)
    {
        keep_error(&error);
    }
    return raise_kept(error);
}

/* Have the group of a cancelled scope cancel the tasks that are not in the
   tree.  Errors as in task_interrupt(). */
static int
scope_cancel_external(CancelScopeObj *scope)
{
    scope_node *node = &scope->cs_node;
    tree_lock(node);
    PyObject *msg = NULL;
    scope_node *canceller = node->member_canceller;
    if (canceller != NULL) {
        msg = scope_msg(canceller);
        if (!canceller->is_task) {
            canceller->interrupted = 1;
        }
    }
    tree_unlock(node);
    if (msg == NULL) {
        return 0;
    }
    int res = group_call(scope, "_cancel_external", msg, NULL);
    Py_DECREF(msg);
    return res == 0 ? 0 : scope_report_error(scope);
}

/* Interrupt every task of the list, which may be NULL and is released.  The
   latest KeyboardInterrupt or SystemExit is raised after that: -1. */
static int
scope_interrupt_all(PyObject *hosts)
{
    if (hosts == NULL) {
        return 0;
    }
    PyObject *interrupt = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hosts); i++) {
        PyObject *host = PyList_GET_ITEM(hosts, i);
        if ((CancelScope_Check(host)
             ? scope_cancel_external((CancelScopeObj *)host)
             : task_interrupt((TaskObj *)host)) < 0)
        {
            keep_error(&interrupt);
        }
    }
    Py_DECREF(hosts);
    return raise_kept(interrupt);
}

/* The end of every change to the tree: `res` tells how the marking went. */
static int
scope_finish_update(int res, PyObject *hosts)
{
    if (res == 0) {
        return scope_interrupt_all(hosts);
    }
    PyObject *error = PyErr_GetRaisedException();
    if (scope_interrupt_all(hosts) < 0) {
        keep_error(&error);
    }
    return raise_kept(error);
}

/* The CancelledError that is thrown because the current scope has a canceller
   reaches the coroutine. */
static void
task_note_delivery(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    scope_node *canceller = task->task_scope->canceller;
    /* The requests made through cancel() have a count of their own. */
    if (canceller != NULL && canceller->requested) {
        if (canceller->host == task) {
            canceller->delivered = 1;
        }
        else {
            own->delivered = 1;
        }
    }
    tree_unlock(own);
}

/* Keep the CancelledError that is thrown into the task, in order to see it
   end. If the one before has ended, it ended too early: report that.  For
   tasks that were made in debug mode. */
static void
task_check_swallowed(TaskObj *task, PyObject *exc)
{
    if (task->task_delivered_exc == NULL) {
        scope_node *own = &task->task_own_scope;
        PyObject *origin = NULL;
        tree_lock(own);
        scope_node *canceller = task->task_scope->canceller;
        if (canceller != NULL) {
            origin = canceller->is_task
                ? (PyObject *)scope_host(canceller)
                : Py_XNewRef(scope_of_node(canceller)->cs_origin);
        }
        tree_unlock(own);
        task->task_delivered_exc = Py_NewRef(exc);
        task->task_delivered_by = canceller;
        Py_XSETREF(task->task_delivered_origin, origin);
    }
    else if (Py_IsNone(task->task_delivered_exc)) {
        return;     /* It has been reported. */
    }
    /* None if this is the first one. */
    PyObject *before = Py_NewRef(task->task_delivered_exc == exc
                                 ? Py_None : task->task_delivered_exc);
    PyObject *origin = Py_NewRef(task->task_delivered_origin == NULL
                                 ? Py_None : task->task_delivered_origin);
    PyObject *check = cancel_debug_attr("_check_ended");
    PyObject *res = check == NULL ? NULL : PyObject_CallFunctionObjArgs(
        check, task, before, origin, NULL);
    Py_XDECREF(check);
    if (res == NULL) {
        task_report(task, "Exception in the debug report of a task");
    }
    /* If that failed, it would again. */
    if (!Py_IsNone(before) && (res == NULL || Py_IsTrue(res))
        && task->task_delivered_exc == before)
    {
        Py_SETREF(task->task_delivered_exc, Py_NewRef(Py_None));
    }
    Py_XDECREF(res);
    Py_DECREF(before);
    Py_DECREF(origin);
}

/* Clear the CancelledError that was kept, if it is from `canceller` (which is
   only compared; NULL is any): it has propagated out of that scope, so it was
   not swallowed. */
static void
task_forget_delivery(TaskObj *task, scope_node *canceller)
{
    if (canceller == NULL || task->task_delivered_by == canceller) {
        task->task_delivered_by = NULL;
        Py_CLEAR(task->task_delivered_exc);
        Py_CLEAR(task->task_delivered_origin);
    }
}

/* The task is about to run in a cancelled scope, or there is a request of
   Task.cancel() that no CancelledError stands for yet.  If the task gets
   something else than *exc, put a new reference there and return 1; -1 is an
   error. */
static int
task_exception_for_step(asyncio_state *state, TaskObj *task, PyObject **exc)
{
    PyObject *msg = task_pending_msg(task);
    bool pending = msg != NULL;
    if (!task->task_started && (state->level_cancel || !pending)) {
        Py_XDECREF(msg);
        return 0;
    }
    int res = 0;

    if (*exc == NULL
        || !PyErr_GivenExceptionMatches(*exc, state->asyncio_CancelledError))
    {
        /* A result or an error that the task waited for is kept: there is
           always a next yield. */
        bool bare_yield = task->task_fut_waiter == NULL && *exc == NULL;
        if (!pending && bare_yield) {
            msg = task_canceller_msg(task);
        }
        if (msg == NULL) {
            return 0;
        }
        *exc = Py_IsNone(msg)
            ? PyObject_CallNoArgs(state->asyncio_CancelledError)
            : PyObject_CallOneArg(state->asyncio_CancelledError, msg);
        if (*exc == NULL) {
            Py_DECREF(msg);
            return -1;
        }
        res = 1;
    }
    Py_XDECREF(msg);
    bool by_scope = task_is_cancelled(task);
    task_settle_pending(state, task, by_scope);
    if (by_scope) {
        task_note_delivery(task);
        task_note_interruption(task);
        if (task->task_source_tb != NULL) {
            task_check_swallowed(task, *exc);
        }
    }
    return res;
}


/* ----- A task's own scope ----- */

/* Return true if anything is linked with the task's own scope. */
static inline bool
task_is_in_tree(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    return own->loop_state != NULL
        && (task->task_scope != own || own->parent != NULL
            || !llist_empty(&own->children));
}

/* The task has left the tree, where it was a member of the group of `scope`,
   and the last one if that is in `is_last`.  Steals the reference to `scope`.
   Errors are reported, but for an interrupt: -1. */
static int
group_dismiss(CancelScopeObj *scope, TaskObj *task, bool is_last)
{
    PyObject *host = NULL, *error = NULL;
    if (task->task_awaited_by != NULL) {
        tree_lock(&scope->cs_node);
        host = (PyObject *)scope_host(&scope->cs_node);
        tree_unlock(&scope->cs_node);
    }
    int res = 0;
    if (host != NULL) {
        Py_BEGIN_CRITICAL_SECTION(task);
        res = future_awaited_by_discard(
            scope_module_state(scope), (FutureObj *)task, host);
        Py_END_CRITICAL_SECTION();
        Py_DECREF(host);
        if (res < 0
            && report_error(task->task_loop, (PyObject *)task, in_end) < 0)
        {
            keep_error(&error);
        }
    }
    if (is_last && group_call(scope, "_members_done", NULL, NULL) < 0
        && report_error(task->task_loop, (PyObject *)task, in_group) < 0)
    {
        keep_error(&error);
    }
    Py_DECREF(scope);
    return raise_kept(error);
}

/* Take the current scope of a task that has ended, or is going away, from it.
   The scope lives on, without a host, below what the task was below, until it
   is left or dropped.  The tree is locked, and is unlocked meanwhile. */
static void
task_abandon_scope(TaskObj *task, bool destroyed)
{
    scope_node *own = &task->task_own_scope;
    CancelScopeObj *scope = scope_of_node(task->task_scope);
    scope_hand_up_requests(&scope->cs_node);
    FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, scope->cs_node.parent);
    PyObject *token;
    ShieldMarkObj *mark = scope_take_mark(scope, &token);
    scope->cs_node.host = NULL;
    scope->cs_node.delivered = scope->cs_node.uncancelled = 0;
    scope->cs_orphaned = destroyed;
    scope->cs_loop = Py_XNewRef(task->task_loop);
    PyObject *group = Py_XNewRef(scope->cs_group);
    if (group != NULL || mark != NULL) {
        tree_unlock(own);
        Py_XDECREF(mark);
        Py_XDECREF(token);
        if (group != NULL
            && call_group(group, "_host_ended", NULL, NULL) < 0)
        {
            task_report(task, in_group);
        }
        Py_XDECREF(group);
        tree_lock(own);
    }
}

/* The task is done, or is being `destroyed` while it is pending: take it
   out of the tree.  Keeps the current exception. */
static void
task_leave_tree_impl(TaskObj *task, bool destroyed)
{
    scope_node *own = &task->task_own_scope;

    tree_lock(own);
    own->is_ready = 0;      /* It will not run any more. */
    if (!task_is_in_tree(task)) {
        tree_unlock(own);
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *hosts = NULL;
    int res = 0;

    /* The requests of Task.cancel() end with the task: as long as all that
       see them are scopes of the task. */
    for (scope_node *node = task->task_scope; node != own;
         node = node->parent)
    {
        node->host_pending = 0;
        if (node->host_requested) {
            node->host_requested = 0;
            if (scope_mark(node, &hosts) < 0) {
                res = -1;
            }
        }
    }
    if (task->task_shield_requests != NULL) {
        tree_unlock(own);
        task_release_requests(task, true);
        tree_lock(own);
    }
    while (task->task_scope != own) {
        task_abandon_scope(task, destroyed);
    }
    /* Not before: what ran meanwhile may have changed the group. */
    CancelScopeObj *group = task_group_scope(task);
    bool was_member = own->is_member;
    bool is_last = was_member && --scope_of_node(own->parent)->cs_members == 0;
    own->is_member = 0;
    if (scope_detach(own, own->parent, &hosts) < 0) {
        res = -1;
    }
    tree_unlock(own);
    if (task->task_shield_requests != NULL) {
        task_release_requests(task, true);
    }
    if ((res < 0 || hosts != NULL) && scope_finish_update(res, hosts) < 0) {
        task_report(task, in_end);
    }
    if (group != NULL && group_dismiss(group, task, is_last) < 0) {
        task_report(task, in_end);
    }
    if (was_member) {
        Py_DECREF(task);
    }
    PyErr_SetRaisedException(exc);
}

static inline void
task_leave_tree(TaskObj *task, bool destroyed)
{
#ifndef Py_GIL_DISABLED
    /* Asked several times in the life of each task. */
    if (!task_is_in_tree(task)) {
        task->task_own_scope.is_ready = 0;
        return;
    }
#endif
    task_leave_tree_impl(task, destroyed);
}

/* The task has failed: tell whom that concerns. */
static int
task_report_failure(TaskObj *task)
{
    if (task->task_errors == ERRORS_LOG) {
        PyObject *log = cancelscopes_attr("_log_failure");
        PyObject *res = log == NULL ? NULL
            : PyObject_CallOneArg(log, (PyObject *)task);
        Py_XDECREF(log);
        Py_XDECREF(res);
        return res == NULL ? -1 : 0;
    }
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    CancelScopeObj *scope = scope_find_group(own->parent);
    tree_unlock(own);
    if (scope == NULL) {
        return 0;
    }
    int res = group_call(scope, "_member_failed", (PyObject *)task, NULL);
    Py_DECREF(scope);
    return res;
}

/* The task is done: tell whom its failure concerns; leave the tree.  Before
   its callbacks are scheduled, for some ask who is waiting for it. */
static void
task_end(TaskObj *task)
{
    task_forget_delivery(task, NULL);
    if (task->task_exception != NULL && task->task_errors != ERRORS_RETRIEVED
        && task_report_failure(task) < 0)
    {
        task_report(task, in_group);
    }
    task_leave_tree(task, false);
}

static bool
task_overrides_cancel(asyncio_state *state, TaskObj *task)
{
    if (Task_CheckExact(state, task)) {
        return false;
    }
    PyObject *ours = _PyType_LookupRef(state->TaskType, &_Py_ID(cancel));
    PyObject *theirs = _PyType_LookupRef(Py_TYPE(task), &_Py_ID(cancel));
    bool res = ours != theirs;
    Py_XDECREF(ours);
    Py_XDECREF(theirs);
    return res;
}

/* Take what the slot of this thread has for the task, an asyncio task of any
   kind, or an external one.  NULL: nothing. */
static spawning_slot *
claim_slot(asyncio_state *state, PyObject *task)
{
    spawning_slot *slot = spawning;
    if (slot == NULL || slot->state != state) {
        return NULL;
    }
    spawning = NULL;
    slot->claimed_by = Py_NewRef(task);
    return slot;
}

/* Give a task that is being initialized its own scope. */
static int
task_adopt(asyncio_state *state, TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    LoopStateObj *loop_state = loop_state_of(state, task->task_loop);
    if (loop_state == NULL) {
        return -1;
    }
    task_forget_delivery(task, NULL);
    bool overrides_cancel = task_overrides_cancel(state, task);
    /* Nothing prevents a second call of __init__(). */
    task_leave_tree(task, false);
    tree_lock(own);
    bool is_again = task_is_in_tree(task);      /* Not even one in there. */
    tree_unlock(own);
    if (is_again) {
        Py_DECREF(loop_state);
        PyErr_SetString(PyExc_RuntimeError,
                        "Task.__init__() was called while it runs");
        return -1;
    }
    own->is_task = 1;
    own->host = task;
    FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, own);
    PyObject *old_state = node_set_loop_state(own, loop_state);
    spawning_slot *slot = claim_slot(state, (PyObject *)task);

    tree_lock(own);
    PyObject *old_msg = own->msg;
    PyObject *old_inherited = task->task_inherited_msg;
    own->msg = task->task_inherited_msg = NULL;
    CancelScopeObj *parent = loop_state_root(loop_state);
    task->task_errors = slot == NULL ? ERRORS_PROPAGATE : slot->errors;
    if (slot != NULL && slot->scope != NULL) {
        CancelScopeObj *scope = CancelScope_Check(slot->scope)
            ? (CancelScopeObj *)slot->scope : NULL;
        if (scope != NULL && scope_belongs_to(scope, loop_state)) {
            parent = scope;
        }
        else {
            /* To that scope it is an external task. */
            slot->refused = true;
            task->task_errors = ERRORS_RETRIEVED;
        }
    }
    own->host_requested = own->host_pending = 0;
    own->delivered = own->uncancelled = 0;
    own->is_ready = own->has_shields = own->cancel_due = own->handed_up = 0;
    own->interrupted = own->requested = 0;
    own->overrides_cancel = overrides_cancel;
    scope_attach(own, parent == NULL ? NULL : &parent->cs_node);
    tree_unlock(own);
    task->task_started = 0;
    task_set_cancel_sent(task, NOT_SENT);
    task->task_edge_taken = 0;
    Py_XDECREF(old_msg);
    Py_XDECREF(old_inherited);
    Py_XDECREF(old_state);
    Py_DECREF(loop_state);
    return 0;
}

/* The task that was adopted has been initialized, so it will run. */
static void
task_ready(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    own->is_ready = 1;
    task_enroll(task);
    tree_unlock(own);
}

/* Hang the own scope of a pending task below a scope of its loop.  Return 1
   and do nothing if that cannot be: the scope is not active, belongs to
   another loop, or hangs below the task. */
static int
task_move(TaskObj *task, CancelScopeObj *scope)
{
    scope_node *own = &task->task_own_scope;
    PyObject *hosts = NULL;

    tree_lock(own);
    bool possible = scope_belongs_to(scope, own->loop_state);
    scope_node *node = possible ? &scope->cs_node : NULL;
    for (; node != NULL; node = node->parent) {
        possible &= node != own;
    }
    if (!possible) {
        tree_unlock(own);
        return 1;
    }
    CancelScopeObj *before = task_group_scope(task);
    PyObject *released = scope_set_parent(own, &scope->cs_node);
    /* What came from above does not concern the task any more. */
    PyObject *old_msg = task->task_inherited_msg;
    task->task_inherited_msg = NULL;
    own->requested = own->delivered = own->uncancelled = 0;
    bool is_last = before != NULL && before->cs_members == 0;
    int res = scope_mark(own, &hosts);
    tree_unlock(own);
    Py_XDECREF(old_msg);
    PyObject *error = NULL;
    if (scope_finish_update(res, hosts) < 0) {
        keep_error(&error);
    }
    if (before == scope) {
        Py_DECREF(before);
    }
    else if (before != NULL && group_dismiss(before, task, is_last) < 0) {
        keep_error(&error);
    }
    Py_XDECREF(released);
    return raise_kept(error);
}

static void TaskObj_finalize(PyObject *);

/* The task is being deallocated, or garbage.  In its critical section, since
   another thread may just have found it in the tree. */
static void
task_finalize(PyObject *op)
{
    Py_BEGIN_CRITICAL_SECTION(op);
    TaskObj *task = (TaskObj *)op;
    if (task->task_state == STATE_PENDING) {
        task_leave_tree(task, true);
    }
    TaskObj_finalize(op);
    Py_END_CRITICAL_SECTION();
}

/* The task is being deallocated: take it out of the tree while it can still be
   referred to.  Its finalizer has done so, but that runs once, and a task that
   was resurrected by it may have entered scopes since.  Return true if the
   task has been resurrected again. */
static bool
task_scopes_dealloc(TaskObj *task)
{
    /* While this waits for a lock, the garbage collector may run, and must not
       come across an object without references. */
    _PyObject_ResurrectStart((PyObject *)task);
    task_leave_tree(task, true);
    return _PyObject_ResurrectEnd((PyObject *)task);
}

static void
task_scopes_clear(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    task_leave_tree(task, true);
    tree_lock(own);
    PyObject *msg = own->msg;
    PyObject *inherited = task->task_inherited_msg;
    own->msg = task->task_inherited_msg = NULL;
    tree_unlock(own);
    Py_XDECREF(msg);
    Py_XDECREF(inherited);
    /* It may have been outside the tree at its end. */
    if (task->task_shield_requests != NULL) {
        task_release_requests(task, true);
    }
    task_forget_delivery(task, NULL);
}
