/* Cancel scopes: the one tree through which asyncio cancels.

   Included by _asynciomodule.c.  Lib/asyncio/cancelscopes.py is the same in
   Python and begins with the explanation of the tree.  In short:
   a node is effectively cancelled if it has a cause, which is a node whose
   cancel was requested: itself, or an ancestor with no shield in between.  A
   request of Task.cancel() is a cause for the scopes of that task only; what
   reaches the tasks below a node is its tree_cause.

   scope_mark() restores that below a node after any change and runs no Python
   code.  It collects the tasks that are blocked in a scope that has just
   become cancelled; scope_interrupt_all() then interrupts them, and since
   anything can happen in there, it looks at each of them afresh.

   The tree belongs to the thread that runs the event loop, like the rest of a
   loop's state, and who comes from another thread goes through
   loop.call_soon_threadsafe().  For those who do not, and for what the garbage
   collector does in other threads, a free-threaded build has locks, which are
   explained beside tree_lock().

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

   If the task's current scope (task_scope) has a cause
     - on entering BLOCKED, or when it gets one while BLOCKED, the Future is
       asked to cancel, once (task_asked) for as long as there is a cause, and
       its outcome is kept;
     - on leaving SCHEDULED after a bare yield, CancelledError is thrown.

   Task.cancel() makes its request to the task's own scope; or to a shielded
   scope, if the request comes from code that was started in there.  If no
   Future took it, it is pending (host_pending of that scope, and
   task_must_cancel if that is so for any): it then overrides the Future's
   outcome on leaving SCHEDULED, and cancels the task if its coroutine ends.
   While a shield hides the scope it waits for the shield to be left.  (With the
   legacy switch edge-cancel it is all that there is: the scope is not
   cancelled.)

   Before the first step (task_started) nothing is thrown, so that a coroutine
   always gets the chance to reach its first try block.

   task_must_cancel and task_started are written here, in Task.__init__() and in
   task_step_impl() only, in the task's critical section.  task_asked is cleared
   under the lock of the tree as well, so it is atomic.
*/

/* What is known of the task that is being made in this thread: how the scope
   of a group, and what is to become of the task's errors, pass through any loop
   and any task factory, in time for an eager first step.  The first Task that
   is made takes them; if it was not that one that was asked for, spawn() puts
   it right. */
typedef struct {
    asyncio_state *state;       /* of the interpreter that makes the task */
    bool refused;               /* the task cannot be where it was meant to */
    CancelScopeObj *scope;      /* borrowed; NULL for the root of the loop */
    task_errors_mode errors;
    PyObject *taker;            /* owned; a Task, or a pure-Python one */
} spawning_state;

/* NULL again as soon as that is taken. */
static _Py_thread_local spawning_state *spawning;


/* ----- The tree ----- */

/* Where there is no GIL each tree has a lock.  It guards the fields of a
   scope_node and of a CancelScope, task_scope, and the registries.  cs_twin and
   cs_deadline are changed only in the critical section of the scope as well, so
   either will do to read them.

   Nothing may happen while a lock is held: no reference is dropped that could
   be the last, and no lock is taken that somebody could hold for long.  So
   whatever runs Python code comes after tree_unlock(), and what it could change
   is looked up anew.

   Whoever waits for a lock lets go of his critical sections meanwhile.  So what
   has been read in one of them before tree_lock() may not hold after it.

   The lock of a tree is found by its event loop.  Several loops can have the
   same one; but they do not have one for all, so that loops in several threads
   seldom wait for each other.  A scope that is in no tree has any. */
#ifdef Py_GIL_DISABLED

static struct {
    PyMutex mutex;
    char padding[64 - sizeof(PyMutex)];     /* Each has a cache line. */
} tree_locks[TREES];

static inline uint8_t
tree_of_loop(PyObject *loop)
{
    uintptr_t bits = (uintptr_t)loop >> 4;
    return (bits ^ (bits >> 6) ^ (bits >> 12)) % TREES;
}

/* Whose lock nobody here may have. */
static inline uint8_t
tree_of_node(scope_node *node)
{
    return FT_ATOMIC_LOAD_UINT8_RELAXED(node->tree);
}

static inline void
tree_lock(scope_node *node)
{
    for (;;) {
        uint8_t tree = tree_of_node(node);
        PyMutex_Lock(&tree_locks[tree].mutex);
        if (tree == tree_of_node(node)) {
            return;
        }
        PyMutex_Unlock(&tree_locks[tree].mutex);
    }
}

static inline void
tree_unlock(scope_node *node)
{
    PyMutex_Unlock(&tree_locks[node->tree].mutex);
}

static inline void
tree_lock_loop(PyObject *loop)
{
    PyMutex_Lock(&tree_locks[tree_of_loop(loop)].mutex);
}

static inline void
tree_unlock_loop(PyObject *loop)
{
    PyMutex_Unlock(&tree_locks[tree_of_loop(loop)].mutex);
}

/* Give a node that is locked, but in no tree, the lock of a loop.  If it had
   another one, that is locked then, and everything may have happened
   meanwhile: false. */
static bool
tree_assign(scope_node *node, PyObject *loop)
{
    uint8_t old = node->tree, new = tree_of_loop(loop);
    if (old == new) {
        return true;
    }
    FT_ATOMIC_STORE_UINT8_RELAXED(node->tree, new);
    PyMutex_Unlock(&tree_locks[old].mutex);
    tree_lock(node);
    return false;
}

#else

static inline uint8_t tree_of_loop(PyObject *Py_UNUSED(loop)) { return 0; }
static inline uint8_t tree_of_node(scope_node *Py_UNUSED(node)) { return 0; }
static inline void tree_lock(scope_node *Py_UNUSED(node)) {}
static inline void tree_unlock(scope_node *Py_UNUSED(node)) {}
static inline void tree_lock_loop(PyObject *Py_UNUSED(loop)) {}
static inline void tree_unlock_loop(PyObject *Py_UNUSED(loop)) {}
static inline bool
tree_assign(scope_node *Py_UNUSED(node), PyObject *Py_UNUSED(loop))
{
    return true;
}

#endif

/* Get a reference to what is found in a tree, unless it is being deallocated. */
static inline bool
try_incref(PyObject *op)
{
#ifdef Py_GIL_DISABLED
    /* _Py_TryIncref() takes it for granted that what belongs to this thread has
       references. */
    if (_Py_IsOwnedByCurrentThread(op)
        && _Py_atomic_load_uint32_relaxed(&op->ob_ref_local) == 0)
    {
        return false;
    }
#endif
    return _Py_TryIncref(op);
}

/* Is the code that the task runs to be interrupted?  What each yield asks,
   without a lock: a task's current scope changes in its own thread, unless
   another one drops the last reference to it.  A step that takes place looks
   again. */
static inline bool
task_is_cancelled(TaskObj *task)
{
    scope_node *scope = FT_ATOMIC_LOAD_PTR_RELAXED(task->task_scope);
    return FT_ATOMIC_LOAD_PTR_RELAXED(scope->cause) != NULL;
}

/* The CancelScope of a node that is not a task's own scope. */
static inline CancelScopeObj *
scope_of_node(scope_node *node)
{
    assert(!node->is_task);
    return _Py_CONTAINER_OF(node, CancelScopeObj, cs_node);
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
scope_outer_cause(scope_node *node)
{
    scope_node *parent = node->parent;
    if (node->shield || parent == NULL) {
        return NULL;
    }
    /* What Task.cancel() asks of another task stays with that task. */
    return parent->host == node->host ? parent->cause : parent->tree_cause;
}

static inline scope_node *
scope_find_cause(scope_node *node)
{
    return node->requested || node->host_requested ? node
                                                   : scope_outer_cause(node);
}

static inline scope_node *
scope_find_tree_cause(scope_node *node)
{
    return node->requested ? node
        : node->shield || node->parent == NULL ? NULL
        : node->parent->tree_cause;
}

/* The values of task_asked. */
enum {
    NOT_ASKED,
    ASKING,                     /* what it waits for is just being asked */
    ASKING_ITSELF,              /* and that has asked the task in turn */
    ASKED,
};

static inline void
task_set_asked(TaskObj *task, uint8_t asked)
{
    FT_ATOMIC_STORE_UINT8_RELAXED(task->task_asked, asked);
}

/* The task's code is not cancelled any more: if it is again, what the task waits
   for is asked again.  (But not by what happens as it is asked.) */
static inline void
task_forget_asked(TaskObj *task)
{
    if (FT_ATOMIC_LOAD_UINT8_RELAXED(task->task_asked) == ASKED) {
        task_set_asked(task, NOT_ASKED);
    }
}

/* The tree owns nothing, so what is found in it may be about to be deallocated:
   a task, or a scope that has a group, can only be used with a reference that
   could be had.  These return a new one, or NULL. */
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

/* Is there no shield between `outer` and the scope `inner`? */
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

/* Let a task whose own scope is below a CancelScope be a member of that, if the
   task has been initialized. */
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

static void
scope_attach(scope_node *node, scope_node *parent, TaskObj *host)
{
    node->host = host;
    node->parent = parent;
    llist_init(&node->children);
    if (parent != NULL) {
        llist_insert_tail(&parent->children, &node->siblings);
    }
    node->tree_cause = scope_find_tree_cause(node);
    FT_ATOMIC_STORE_PTR_RELAXED(node->cause, scope_find_cause(node));
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

static int
hosts_append(PyObject **hosts, void *host)
{
    if (*hosts == NULL) {
        *hosts = PyList_New(0);
        if (*hosts == NULL) {
            return -1;
        }
        /* It is nobody else's business. */
        PyObject_GC_UnTrack(*hosts);
    }
    /* Another thread may be about to deallocate it and wait for the lock. */
    if (!try_incref((PyObject *)host)) {
        return 0;
    }
    return _PyList_AppendTakeRef((PyListObject *)*hosts, (PyObject *)host);
}

/* May the task be blocked?  Without a GIL that is only to be seen in its critical
   section, where task_interrupt() looks. */
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
        scope_node *cause = scope_find_cause(node);
        scope_node *tree_cause = scope_find_tree_cause(node);
        changed = cause != node->cause || tree_cause != node->tree_cause;
        if (!changed) {
            continue;
        }
        TaskObj *host = node->host;
        void *told = NULL;
        if (node->tree_cause == NULL && tree_cause != NULL) {
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
            if (cause == NULL) {
                task_forget_asked(host);
            }
            else if (node->cause == NULL && told != host
                     && task_may_be_blocked(host)
                     && hosts_append(hosts, host) < 0)
            {
                res = -1;
            }
        }
        node->tree_cause = tree_cause;
        FT_ATOMIC_STORE_PTR_RELAXED(node->cause, cause);
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

/* ----- To which scope Task.cancel() makes its request ----- */

/* Restore the invariant in `top`, a scope of the task, and in those that it has
   entered below, after a change that concerns no other task. */
static void
task_update_path(TaskObj *task, scope_node *top)
{
    scope_node *cause = scope_find_cause(top);
    /* Those from `start` outwards see what `top` does. */
    scope_node *start = task->task_scope;
    for (scope_node *node = start; node != top; node = node->parent) {
        if (node->requested || node->host_requested || node->shield) {
            start = node->parent;
        }
    }
    for (scope_node *node = start; ; node = node->parent) {
        FT_ATOMIC_STORE_PTR_RELAXED(node->cause, cause);
        if (node == top) {
            break;
        }
    }
    if (task->task_scope->cause == NULL) {
        task_forget_asked(task);
    }
}

/* The innermost shielded scope of the task, from `node` outwards, or its own
   scope. */
static scope_node *
task_find_shield(TaskObj *task, scope_node *node)
{
    while (node != &task->task_own_scope && !node->shield) {
        node = node->parent;
    }
    return node;
}

/* The scope is about to be left: requests that were made to it go on as requests
   to a scope around it; return that one, or NULL.  What is released is so by
   task_release_requests(). */
static scope_node *
scope_hand_up_requests(scope_node *node)
{
    TaskObj *task = node->host;
    if (task == NULL || node->is_task) {
        return NULL;
    }
    bool in_force = node->host_requested || node->host_pending;
    /* By edge, one that has been delivered is in the list only. */
    if (!in_force && task->task_shield_requests == NULL) {
        return NULL;
    }
    scope_node *own = &task->task_own_scope;
    scope_node *outer = task_find_shield(task, node->parent);
    bool is_latest = true;
    for (shield_request *request = task->task_shield_requests;
         request != NULL; request = request->before)
    {
        if (request->node != node) {
            continue;
        }
        if (outer != own) {
            request->node = outer;
            continue;
        }
        request->node = NULL;
        if (is_latest) {
            PyObject *msg = own->msg;
            own->msg = request->msg;
            request->msg = msg;
            own->handed_up |= node->host_pending;
            is_latest = false;
        }
    }
    if (!in_force) {
        return NULL;
    }
    outer->host_requested |= node->host_requested;
    outer->host_pending |= node->host_pending;
    node->host_requested = node->host_pending = 0;
    task_update_path(task, node);
    task_update_path(task, outer);
    return outer->host_requested ? outer : NULL;
}

static PyObject *
scope_msg(scope_node *node);

/* Release the requests of the list that are in force no more; or all of them.
   The tree is not locked. */
static void
task_release_requests(TaskObj *task, bool all)
{
    scope_node *own = &task->task_own_scope;
    shield_request *released = NULL;
    tree_lock(own);
    shield_request **link = &task->task_shield_requests;
    while (*link != NULL) {
        shield_request *request = *link;
        if (all || request->node == NULL) {
            *link = request->before;
            request->before = released;
            released = request;
        }
        else {
            link = &request->before;
        }
    }
    /* (Only now can that be stored: the last use of the message before it can
       run any code.) */
    PyObject *msg = NULL;
    if (!all && own->handed_up) {
        msg = scope_msg(own);
        own->handed_up = 0;
    }
    tree_unlock(own);
    if (msg != NULL) {
        Py_BEGIN_CRITICAL_SECTION(task);
        Py_XSETREF(task->task_cancel_msg, msg);
        Py_END_CRITICAL_SECTION();
    }
    while (released != NULL) {
        shield_request *before = released->before;
        Py_XDECREF(released->msg);
        PyMem_Free(released);
        released = before;
    }
}

/* What the marks refer to is guarded by the lock of its tree, but code of
   several trees can share the marks of a context. */
#ifdef Py_GIL_DISABLED
static PyMutex marks_mutex;
#  define LOCK_MARKS() PyMutex_Lock(&marks_mutex)
#  define UNLOCK_MARKS() PyMutex_Unlock(&marks_mutex)
#else
#  define LOCK_MARKS()
#  define UNLOCK_MARKS()
#endif

/* Whether its scope has been left. */
static inline bool
shield_mark_is_over(ShieldMarkObj *mark)
{
    return FT_ATOMIC_LOAD_PTR_RELAXED(mark->sm_host) == NULL;
}

/* The mark in the current context, a new reference, or NULL. */
static int
shield_mark_get(asyncio_state *state, ShieldMarkObj **mark)
{
    PyObject *value;
    if (PyContextVar_Get(state->shield_mark, NULL, &value) < 0) {
        return -1;
    }
    if (value != NULL && !Py_IS_TYPE(value, state->ShieldMarkType)) {
        Py_CLEAR(value);
    }
    *mark = (ShieldMarkObj *)value;
    return 0;
}

/* A new reference to the first mark, from this one outwards, whose scope has not
   been left, or NULL. */
static ShieldMarkObj *
shield_mark_skip(ShieldMarkObj *mark)
{
    LOCK_MARKS();
    while (mark != NULL && shield_mark_is_over(mark)) {
        mark = mark->sm_outer;
    }
    Py_XINCREF(mark);
    UNLOCK_MARKS();
    return mark;
}

/* Mark the current context: its code runs in a shielded scope, which the current
   task has entered. */
static int
scope_add_mark(asyncio_state *state, CancelScopeObj *self, TaskObj *task)
{
    scope_node *node = &self->cs_node;
    ShieldMarkObj *outer, *mark;
    if (shield_mark_get(state, &outer) < 0) {
        return -1;
    }
    /* Leave out what has been left, also right above the next one, so that code
       which goes on and on starting code leaves no chain behind. */
    if (outer != NULL) {
        Py_SETREF(outer, shield_mark_skip(outer));
    }
    if (outer != NULL) {
        /* Under one lock: other threads may shorten the same chain. */
        LOCK_MARKS();
        ShieldMarkObj *before = outer->sm_outer;
        ShieldMarkObj *next = before;
        while (next != NULL && shield_mark_is_over(next)) {
            next = next->sm_outer;
        }
        outer->sm_outer = (ShieldMarkObj *)Py_XNewRef(next);
        UNLOCK_MARKS();
        Py_XDECREF(before);
    }
    mark = PyObject_New(ShieldMarkObj, state->ShieldMarkType);
    if (mark == NULL) {
        Py_XDECREF(outer);
        return -1;
    }
    mark->sm_outer = outer;
    mark->sm_host = NULL;
    mark->sm_node = NULL;
    PyObject *token = PyContextVar_Set(state->shield_mark, (PyObject *)mark);
    if (token == NULL) {
        Py_DECREF(mark);
        return -1;
    }
    tree_lock(node);
    if (self->cs_state == SCOPE_ACTIVE && node->host == task
        && self->cs_mark == NULL)
    {
        FT_ATOMIC_STORE_PTR_RELAXED(mark->sm_host, task);
        mark->sm_node = node;
        self->cs_mark = mark;
        self->cs_mark_token = token;
        task->task_own_scope.has_shields = 1;
        mark = NULL;
        token = NULL;
    }
    tree_unlock(node);
    Py_XDECREF(mark);
    Py_XDECREF(token);
    return 0;
}

/* The scope is about to be left.  Return the mark that it had, to be given to
   shield_mark_remove(), and put its token into *token. */
static ShieldMarkObj *
scope_take_mark(CancelScopeObj *self, PyObject **token)
{
    ShieldMarkObj *mark = self->cs_mark;
    *token = self->cs_mark_token;
    self->cs_mark = NULL;
    self->cs_mark_token = NULL;
    if (mark != NULL) {
        mark->sm_node = NULL;
        FT_ATOMIC_STORE_PTR_RELAXED(mark->sm_host, NULL);
    }
    return mark;
}

/* Take a mark out of the current context, if it is there, and release it.  Keeps
   the current exception. */
static void
shield_mark_remove(asyncio_state *state, ShieldMarkObj *mark, PyObject *token)
{
    PyObject *exc = PyErr_GetRaisedException();
    ShieldMarkObj *current = NULL;
    if (shield_mark_get(state, &current) == 0 && current == mark
        && PyContextVar_Reset(state->shield_mark, token) < 0)
    {
        /* The scope was entered in another context. */
        PyErr_Clear();
        LOCK_MARKS();
        PyObject *outer = Py_NewRef(mark->sm_outer == NULL ? Py_None
                                    : (PyObject *)mark->sm_outer);
        UNLOCK_MARKS();
        Py_XDECREF(PyContextVar_Set(state->shield_mark, outer));
        Py_DECREF(outer);
    }
    PyErr_Clear();
    Py_XDECREF(current);
    Py_DECREF(mark);
    Py_DECREF(token);
    PyErr_SetRaisedException(exc);
}

static void
ShieldMark_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ShieldMarkObj *outer = ((ShieldMarkObj *)op)->sm_outer;
    PyObject_Free(op);
    Py_DECREF(tp);
    /* One after the other: there may be thousands. */
    while (outer != NULL
           && _PyObject_IsUniquelyReferenced((PyObject *)outer))
    {
        ShieldMarkObj *next = outer->sm_outer;
        outer->sm_outer = NULL;
        Py_DECREF(outer);
        outer = next;
    }
    Py_XDECREF(outer);
}

static PyType_Slot ShieldMark_slots[] = {
    {Py_tp_dealloc, ShieldMark_dealloc},
    {0, NULL},
};

static PyType_Spec ShieldMark_spec = {
    .name = "_asyncio._ShieldMark",
    .basicsize = sizeof(ShieldMarkObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION |
              Py_TPFLAGS_IMMUTABLETYPE),
    .slots = ShieldMark_slots,
};

/* The scope of the task to which code with the given mark makes a request.  The
   tree is locked. */
static scope_node *
task_find_target(TaskObj *task, ShieldMarkObj *mark)
{
    scope_node *own = &task->task_own_scope;
    if (mark == NULL) {
        return own;
    }
    /* The innermost one counts; a shield that was set late has its mark before
       those of the blocks inside it. */
    scope_node *target = own;
    int marked = 0;
    LOCK_MARKS();
    for (ShieldMarkObj *each = mark; each != NULL; each = each->sm_outer) {
        if (FT_ATOMIC_LOAD_PTR_RELAXED(each->sm_host) == task
            && each->sm_node->shield)
        {
            target = each->sm_node;
            target->is_marked = 1;
            marked++;
        }
    }
    UNLOCK_MARKS();
    if (marked <= 1) {
        target->is_marked = 0;
        return target;
    }
    target = NULL;
    for (scope_node *node = task->task_scope; node != own; node = node->parent) {
        if (node->is_marked) {
            node->is_marked = 0;
            if (target == NULL) {
                target = node;
            }
        }
    }
    return target;
}

/* Take a node out of the tree; what is below it moves up to `heir`, one of its
   ancestors, or NULL; tasks move up to the next CancelScope. */
static int
scope_detach(scope_node *node, scope_node *heir, PyObject **hosts)
{
    int res = 0;

    if (!node->is_task) {
        scope_hand_up_requests(node);
    }
    scope_node *owner = heir;
    while (owner != NULL && owner->is_task) {
        owner = owner->parent;
    }
    while (!llist_empty(&node->children)) {
        scope_node *child = llist_data(node->children.next,
                                       scope_node, siblings);
        PyObject *released = scope_set_parent(child,
                                              child->is_task ? owner : heir);
        if (scope_mark(child, hosts) < 0) {
            res = -1;
        }
        if (released != NULL) {
            /* Not here, where nothing may happen. */
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
    node->tree_cause = NULL;
    FT_ATOMIC_STORE_PTR_RELAXED(node->cause, NULL);
    node->host = NULL;
    return res;
}


/* ----- Delivery ----- */

static void task_ignore(TaskObj *task, const char *what);

static PyObject *
scope_msg(scope_node *node)
{
    if (node->msg != NULL) {
        return Py_NewRef(node->msg);
    }
    /* (A timeout says it with its TimeoutError.) */
    if (!node->is_task && scope_of_node(node)->cs_expired
        && !scope_of_node(node)->cs_movable)
    {
        PyObject *msg = PyUnicode_FromString("deadline exceeded");
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
        task_ignore(task, "stopped waiting for itself");
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
    if (task->task_asked == ASKING || task->task_asked == ASKING_ITSELF) {
        task_set_asked(task, ASKING_ITSELF);
        return 1;
    }
    task_set_asked(task, ASKING);
    /* A hostile cancel() could make the task drop its waiter. */
    PyObject *waiter = Py_NewRef(task->task_fut_waiter);
    PyObject *res = PyObject_CallMethodOneArg(waiter, &_Py_ID(cancel), msg);
    bool itself = task->task_asked == ASKING_ITSELF;
    if (task->task_fut_waiter == waiter) {
        task_set_asked(task, ASKED);
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

/* The message of the latest request of Task.cancel() to a scope of the task, a new
   reference.  The tree is locked. */
static PyObject *
task_shielded_msg(TaskObj *task, scope_node *scope)
{
    for (shield_request *request = task->task_shield_requests;
         request != NULL; request = request->before)
    {
        if (request->node == scope) {
            return Py_NewRef(request->msg);
        }
    }
    return scope_msg(scope);
}

/* What the scope that cancels the task's code has to say, a new reference, or
   NULL if there is no such scope. */
static PyObject *
task_cause_msg(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    scope_node *cause = task->task_scope->cause;
    PyObject *msg = cause == NULL ? NULL
        : cause->requested ? scope_msg(cause)
        : task_shielded_msg(task, cause);
    tree_unlock(own);
    return msg;
}

/* The message of the pending request to the task's own scope, a new reference.
   (Where stock asyncio has it, if it was not handed up.)  The tree is locked. */
static PyObject *
task_own_pending_msg(TaskObj *task)
{
    if (task->task_own_scope.handed_up) {
        return scope_msg(&task->task_own_scope);
    }
    return Py_NewRef(task->task_cancel_msg == NULL ? Py_None
                                                   : task->task_cancel_msg);
}

/* What is said of a task that is cancelled as its coroutine ends. */
static PyObject *
task_end_msg(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    PyObject *msg = task_own_pending_msg(task);
    tree_unlock(own);
    return msg;
}

/* What the innermost request through Task.cancel() has to say, a new reference,
   that the code of the task can see and that has still to be honoured; or NULL. */
static PyObject *
task_pending_msg(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    if (!task->task_must_cancel) {
        return NULL;
    }
    tree_lock(own);
    scope_node *node = task->task_scope;
    while (!node->host_pending && !node->shield && node != own) {
        node = node->parent;
    }
    PyObject *msg = !node->host_pending ? NULL
        : node == own ? task_own_pending_msg(task)
        : task_shielded_msg(task, node);
    tree_unlock(own);
    return msg;
}

/* Whether such a request is pending is known of each scope that it can be made
   to: find out if that is so for any. */
static void
task_update_pending(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    bool pending = own->host_pending;
    for (shield_request *request = task->task_shield_requests;
         request != NULL; request = request->before)
    {
        pending |= request->node != NULL && request->node->host_pending;
    }
    tree_unlock(own);
    task->task_must_cancel = pending;
}

/* There is no such request any more that the code of the task can see. */
static void
task_clear_pending(TaskObj *task)
{
    if (!task->task_must_cancel) {
        return;
    }
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    for (scope_node *node = task->task_scope; ; node = node->parent) {
        node->host_pending = 0;
        if (node == own || node->shield) {
            break;
        }
    }
    tree_unlock(own);
    task_update_pending(task);
}

/* There is one: that which was just made to a shielded scope; or to the task's own
   scope, if `request` is NULL or is in force no more. */
static void
task_set_pending(TaskObj *task, const shield_request *request)
{
    scope_node *own = &task->task_own_scope;
    scope_node *scope = own;
    tree_lock(own);
    for (shield_request *known = request == NULL ? NULL
                                                 : task->task_shield_requests;
         known != NULL; known = known->before)
    {
        if (known == request && known->node != NULL) {
            scope = known->node;
            break;
        }
    }
    scope->host_pending = 1;
    if (scope == own) {
        own->handed_up = request != NULL;
    }
    tree_unlock(own);
    task->task_must_cancel = 1;
}

/* In debug mode: what the task waits for is about to be asked to give up, while
   it handles a CancelledError; report that if that is hardly what the program
   wants. */
static void
task_check_waiter(TaskObj *task)
{
    PyObject *exc = Py_NewRef(task->task_delivered_exc);
    if (!Py_IsNone(exc)) {
        PyObject *check = cancelscopes_attr("_check_awaited");
        PyObject *res = check == NULL ? NULL
            : PyObject_CallFunctionObjArgs(check, task, exc, NULL);
        Py_XDECREF(check);
        if (res == NULL) {
            task_ignore(task, "was checked for what it awaits");
        }
        Py_XDECREF(res);
    }
    Py_DECREF(exc);
}

/* The coroutine is interrupted, or what it waits for has agreed to give up: note
   it for _was_interrupted(), if a cancellation from outside is a reason, and for
   the scope where that begins. */
static void
task_note_interruption(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    scope_node *cause = task->task_scope->cause;
    if (cause != NULL && cause->requested && !cause->is_task) {
        cause->interrupted = 1;
    }
    if ((own->requested || scope_outer_cause(own) != NULL)
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

    if (task->task_fut_waiter == NULL || task->task_asked) {
        return 0;
    }
    PyObject *msg = task_cause_msg(task);
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
    if (task->task_fut_waiter == NULL || task->task_asked) {
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
            || !get_asyncio_state_by_def((PyObject *)task)->edge_cancel))
    {
        task_clear_pending(task);
    }
    return 0;
}

/* If the task overrides cancel(), and has been cancelled with the scope that it
   hangs below, call that. */
static int
task_call_cancel(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    PyObject *msg = own->cancel_due && own->tree_cause != NULL
        ? scope_msg(own->tree_cause) : NULL;
    own->cancel_due = 0;
    tree_unlock(own);
    if (msg == NULL) {
        return 0;
    }
    if (task->task_state != STATE_PENDING) {
        Py_DECREF(msg);
        return 0;
    }
    PyObject *cancel = cancelscopes_attr("_call_cancel");
    PyObject *res = cancel == NULL ? NULL : PyObject_CallFunctionObjArgs(
        cancel, task, msg, NULL);
    Py_XDECREF(cancel);
    Py_DECREF(msg);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* If the task's scope is cancelled, ask what the task is blocked on to give
   up: once a yield.  If it will, it stands for the requests made through
   Task.cancel() as well. */
static int
task_interrupt(TaskObj *task)
{
    if (task->task_own_scope.overrides_cancel && task_call_cancel(task) < 0) {
        return -1;
    }
    PyThreadState *tstate = _PyThreadState_GET();
    if (((_PyThreadStateImpl *)tstate)->asyncio_running_task == (PyObject *)task
        && task->task_fut_waiter == NULL)
    {
        /* It runs in this thread, and has its critical section already. */
        return 0;
    }
    int res;
    Py_BEGIN_CRITICAL_SECTION(task);
    res = task_interrupt_lock_held(task);
    Py_END_CRITICAL_SECTION();
    return res;
}

/* Must the exception not be lost?  It is what ends a loop. */
static bool
is_interrupt(PyObject *exc)
{
    return PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt)
        || PyErr_GivenExceptionMatches(exc, PyExc_SystemExit);
}

/* Nobody is there to get the current exception, which came while the task did
   something.  An interrupt is raised in the loop, a moment later. */
static void
task_ignore(TaskObj *task, const char *what)
{
    if (is_interrupt(PyErr_Occurred())) {
        PyObject *exc = PyErr_GetRaisedException();
        PyObject *raise = cancelscopes_attr("_raise_soon");
        PyObject *res = raise == NULL ? NULL : PyObject_CallFunctionObjArgs(
            raise, exc, task->task_loop, NULL);
        Py_XDECREF(raise);
        if (res != NULL) {
            Py_DECREF(res);
            Py_DECREF(exc);
            return;
        }
        PyErr_SetRaisedException(exc);
    }
    PyErr_FormatUnraisable("Exception ignored while %R %s", task, what);
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

/* Call a method of what cs_group refers to, if that exists.  Each of them can be
   called again after an interrupt. */
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
    if (method != NULL && res == NULL
        && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
    {
        PyObject *exc = PyErr_GetRaisedException();
        res = PyObject_CallFunctionObjArgs(method, arg1, arg2, NULL);
        Py_CLEAR(res);
        PyErr_SetRaisedException(exc);
    }
    Py_XDECREF(method);
    Py_XDECREF(res);
    Py_DECREF(group);
    return res == NULL ? -1 : 0;
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

/* Have the group of a cancelled scope cancel what is not in the tree. */
static int
scope_cancel_foreign(CancelScopeObj *scope)
{
    scope_node *node = &scope->cs_node;
    tree_lock(node);
    PyObject *msg = NULL;
    if (node->tree_cause != NULL) {
        msg = scope_msg(node->tree_cause);
        if (!node->tree_cause->is_task) {
            node->tree_cause->interrupted = 1;
        }
    }
    tree_unlock(node);
    if (msg == NULL) {
        return 0;
    }
    int res = group_call(scope, "_cancel_foreign", msg, NULL);
    Py_DECREF(msg);
    return res;
}

/* Of several errors an interrupt counts, then what is no Exception, then the
   first one. */
static int
error_rank(PyObject *exc)
{
    return is_interrupt(exc) ? 2
        : PyErr_GivenExceptionMatches(exc, PyExc_Exception) ? 0 : 1;
}

/* Put the current error into *error, where there may be another, or clear it. */
static void
keep_error(PyObject **error)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (*error == NULL || error_rank(exc) > error_rank(*error)) {
        Py_XSETREF(*error, exc);
    }
    else {
        Py_DECREF(exc);
    }
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

/* Interrupt every task of the list, which may be NULL and is released; then raise
   an error, if there was one. */
static int
scope_interrupt_all(PyObject *hosts)
{
    if (hosts == NULL) {
        return 0;
    }
    PyObject *error = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hosts); i++) {
        PyObject *host = PyList_GET_ITEM(hosts, i);
        if ((CancelScope_Check(host)
             ? scope_cancel_foreign((CancelScopeObj *)host)
             : task_interrupt((TaskObj *)host)) < 0)
        {
            keep_error(&error);
        }
    }
    Py_DECREF(hosts);
    return raise_kept(error);
}

/* The end of every change to the tree: `res` tells how the marking went. */
static int
scope_finish_update(int res, PyObject *hosts)
{
    PyObject *error = PyErr_GetRaisedException();
    if (scope_interrupt_all(hosts) < 0) {
        keep_error(&error);
        res = -1;
    }
    PyErr_SetRaisedException(error);
    return res;
}

/* The CancelledError that is thrown because the current scope has a cause
   reaches the coroutine. */
static void
task_note_delivery(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    scope_node *cause = task->task_scope->cause;
    /* The requests made through cancel() have a count of their own. */
    if (cause != NULL && cause->requested) {
        if (cause->host == task) {
            cause->delivered = 1;
        }
        else {
            own->delivered = 1;
        }
    }
    tree_unlock(own);
}

/* Keep the CancelledError that is thrown into the task, in order to see it end.
   If the one before has ended, it ended too early: report that.  For tasks that
   were made in debug mode. */
static void
task_check_swallowed(TaskObj *task, PyObject *exc)
{
    if (task->task_delivered_exc == NULL) {
        scope_node *own = &task->task_own_scope;
        PyObject *origin = NULL;
        tree_lock(own);
        scope_node *cause = task->task_scope->cause;
        if (cause != NULL) {
            origin = cause->is_task
                ? (PyObject *)scope_host(cause)
                : Py_XNewRef(scope_of_node(cause)->cs_origin);
        }
        tree_unlock(own);
        task->task_delivered_exc = Py_NewRef(exc);
        task->task_delivered_by = cause;
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
    PyObject *check = cancelscopes_attr("_check_ended");
    PyObject *res = check == NULL ? NULL : PyObject_CallFunctionObjArgs(
        check, task, before, origin, NULL);
    Py_XDECREF(check);
    if (res == NULL) {
        task_ignore(task, "was checked for swallowed cancellation");
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

/* What was thrown into the task has ended rightly, if it is from `cause` (which
   is only compared; NULL is any). */
static void
task_forget_delivery(TaskObj *task, scope_node *cause)
{
    if (cause == NULL || task->task_delivered_by == cause) {
        task->task_delivered_by = NULL;
        Py_CLEAR(task->task_delivered_exc);
        Py_CLEAR(task->task_delivered_origin);
    }
}

/* The task is about to run in a cancelled scope, or Task.cancel() has not been
   honoured yet.  If it gets something else than *exc, put a new reference there
   and return 1; -1 is an error. */
static int
task_exception_for_step(asyncio_state *state, TaskObj *task, PyObject **exc)
{
    PyObject *msg = task_pending_msg(task);
    bool pending = msg != NULL;
    if (!task->task_started && !(pending && state->edge_cancel)) {
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
            msg = task_cause_msg(task);
        }
        if (msg == NULL) {
            return 0;
        }
        if (Py_IsNone(msg)) {
            *exc = PyObject_CallNoArgs(state->asyncio_CancelledError);
        }
        else {
            *exc = PyObject_CallOneArg(state->asyncio_CancelledError, msg);
        }
        if (*exc == NULL) {
            Py_DECREF(msg);
            return -1;
        }
        res = 1;
    }
    Py_XDECREF(msg);
    bool by_scope = task_is_cancelled(task);
    /* By edge, the request has to survive the scope, whose error this is.  (By
       level, the scope that it was made to does.) */
    if (!state->edge_cancel || !by_scope) {
        task_clear_pending(task);
    }
    else if (task->task_edge_taken) {
        scope_node *own = &task->task_own_scope;
        tree_lock(own);
        task_find_shield(task, task->task_scope)->host_pending = 1;
        tree_unlock(own);
        task->task_must_cancel = 1;
    }
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

/* Is anything linked with the task's own scope? */
static inline bool
task_is_in_tree(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    return own->host != NULL
        && (task->task_scope != own || own->parent != NULL
            || !llist_empty(&own->children));
}

/* The task has left the tree, where it was a member of the group of `scope`,
   and the last one if that is in `is_last`.  Steals the reference to `scope`. */
static void
group_dismiss(CancelScopeObj *scope, TaskObj *task, bool is_last)
{
    PyObject *host = NULL;
    if (task->task_awaited_by != NULL) {
        tree_lock(&scope->cs_node);
        host = (PyObject *)scope_host(&scope->cs_node);
        tree_unlock(&scope->cs_node);
    }
    if (host != NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        int res;
        Py_BEGIN_CRITICAL_SECTION(task);
        res = future_awaited_by_discard(
            scope_module_state(scope),
            (FutureObj *)task, host);
        Py_END_CRITICAL_SECTION();
        Py_DECREF(host);
        if (res < 0) {
            task_ignore(task, "left its group");
        }
        PyErr_SetRaisedException(exc);
    }
    if (is_last) {
        PyObject *exc = PyErr_GetRaisedException();
        if (group_call(scope, "_members_done", NULL, NULL) < 0) {
            task_ignore(task, "left its group");
        }
        PyErr_SetRaisedException(exc);
    }
    Py_DECREF(scope);
}

/* The task is done or is going away: take it out of the tree.  What becomes of
   the scopes that it has left open: SCOPE_ACTIVE, they stay without a host, or
   SCOPE_DESTROYED.  Keeps the current exception. */
static void
task_leave_tree_impl(TaskObj *task, scope_state state)
{
    scope_node *own = &task->task_own_scope;
    CancelScopeObj *group = NULL;
    bool was_member, is_last = false;

    tree_lock(own);
    own->is_ready = 0;      /* It will not run any more. */
    if (!task_is_in_tree(task)) {
        tree_unlock(own);
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *hosts = NULL;
    int res = 0;

    /* As long as all that see what was requested are scopes of the task. */
    for (scope_node *node = task->task_scope; node != own; node = node->parent) {
        scope_hand_up_requests(node);
    }
    while (task->task_scope != own) {
        CancelScopeObj *scope = scope_of_node(task->task_scope);
        scope_hand_up_requests(&scope->cs_node);
        FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, scope->cs_node.parent);
        PyObject *token;
        ShieldMarkObj *mark = scope_take_mark(scope, &token);
        if (state == SCOPE_ACTIVE) {
            /* It lives on, below what the task was below. */
            scope->cs_loop = Py_NewRef(task->task_loop);
            scope->cs_node.host = NULL;
            scope->cs_node.delivered = scope->cs_node.lifted = 0;
            PyObject *open = Py_XNewRef(scope->cs_group);
            if (open != NULL || mark != NULL) {
                tree_unlock(own);
                Py_XDECREF(mark);
                Py_XDECREF(token);
                if (open != NULL
                    && call_group(open, "_host_ended", NULL, NULL) < 0)
                {
                    task_ignore(task, "left its scopes");
                }
                Py_XDECREF(open);
                tree_lock(own);
            }
            continue;
        }
        DeadlinesObj *deadlines = deadlines_remove(scope);
        /* Another task may wait in the group for members that are moving. */
        PyObject *left = scope->cs_members == 0 ? NULL
                                                : Py_XNewRef(scope->cs_group);
        if (scope_detach(&scope->cs_node, own->parent, &hosts) < 0) {
            res = -1;
        }
        scope->cs_state = state;
        if (deadlines != NULL || left != NULL || mark != NULL) {
            tree_unlock(own);
            PyObject *error = PyErr_GetRaisedException();
            Py_XDECREF(deadlines);
            Py_XDECREF(mark);
            Py_XDECREF(token);
            if (left != NULL
                && call_group(left, "_members_done", NULL, NULL) < 0)
            {
                task_ignore(task, "left its scopes");
            }
            Py_XDECREF(left);
            PyErr_SetRaisedException(error);
            tree_lock(own);
        }
    }
    /* Not before: what ran meanwhile may have changed the group. */
    was_member = own->is_member;
    if (was_member) {
        is_last = --scope_of_node(own->parent)->cs_members == 0;
        group = task_group_scope(task);
        own->is_member = 0;
    }
    if (scope_detach(own, own->parent, &hosts) < 0) {
        res = -1;
    }
    own->host = task;   /* It has no other, and may be asked. */
    tree_unlock(own);
    if (task->task_shield_requests != NULL) {
        task_release_requests(task, true);
    }
    if ((res < 0 || hosts != NULL) && scope_finish_update(res, hosts) < 0) {
        task_ignore(task, "left its scopes");
    }
    if (group != NULL) {
        group_dismiss(group, task, is_last);
    }
    if (was_member) {
        Py_DECREF(task);
    }
    PyErr_SetRaisedException(exc);
}

static inline void
task_leave_tree(TaskObj *task, scope_state state)
{
#ifndef Py_GIL_DISABLED
    /* Asked several times in the life of each task. */
    if (!task_is_in_tree(task)) {
        task->task_own_scope.is_ready = 0;
        return;
    }
#endif
    task_leave_tree_impl(task, state);
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

/* The task is done: tell whom its failure concerns; leave the tree.  Before its
   callbacks are scheduled, for some ask who is waiting for it. */
static void
task_end(TaskObj *task)
{
    task_forget_delivery(task, NULL);
    if (task->task_exception != NULL && task->task_errors != ERRORS_HAND_ON
        && task_report_failure(task) < 0)
    {
        task_ignore(task, "reported its failure");
    }
    task_leave_tree(task, SCOPE_ACTIVE);
}

/* The scope of the root group of a loop, or NULL.  Its tree is locked. */
static CancelScopeObj *
find_root(asyncio_state *state, PyObject *loop)
{
    struct llist_node *node;
    llist_for_each(node, &state->registries[tree_of_loop(loop)].roots) {
        CancelScopeObj *root = scope_of_node(llist_data(node, scope_node,
                                                        siblings));
        if (root->cs_root_loop == loop) {
            return root;
        }
    }
    return NULL;
}

/* The loop of an active scope, whose tree is locked: borrowed, or NULL. */
static inline PyObject *
scope_loop_lock_held(CancelScopeObj *scope)
{
    return scope->cs_root_loop != NULL ? scope->cs_root_loop
        : scope->cs_node.host != NULL ? scope->cs_node.host->task_loop
        : scope->cs_loop;
}

/* Is a scope in the tree of the loop, which is locked? */
static inline bool
scope_belongs_to(CancelScopeObj *scope, PyObject *loop)
{
    return tree_of_node(&scope->cs_node) == tree_of_loop(loop)
        && scope_loop_lock_held(scope) == loop;
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

/* Give a task that is being initialized its own scope. */
static void
task_adopt(asyncio_state *state, TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    CancelScopeObj *group = NULL;
    task_errors_mode errors = ERRORS_PROPAGATE;
    spawning_state *asked = spawning;
    if (asked != NULL && asked->state == state) {
        group = asked->scope;
        errors = asked->errors;
        asked->taker = Py_NewRef(task);
        spawning = NULL;
    }
    task_forget_delivery(task, NULL);
    bool overrides_cancel = task_overrides_cancel(state, task);
    /* Nothing prevents a second call of __init__(), not even one in here. */
    tree_lock(own);
    while (task_is_in_tree(task) || own->msg != NULL
           || !tree_assign(own, task->task_loop))
    {
        PyObject *msg = own->msg;
        own->msg = NULL;
        tree_unlock(own);
        Py_XDECREF(msg);
        task_leave_tree(task, SCOPE_ACTIVE);
        tree_lock(own);
    }
    own->is_task = 1;
    own->host_requested = own->host_pending = own->delivered = own->lifted = 0;
    own->is_ready = own->has_shields = own->cancel_due = own->handed_up = 0;
    own->interrupted = own->requested = 0;
    own->overrides_cancel = overrides_cancel;
    if (group != NULL && !scope_belongs_to(group, task->task_loop)) {
        group = NULL;
        asked->refused = true;
    }
    if (group == NULL) {
        group = find_root(state, task->task_loop);
    }
    FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, own);
    scope_attach(own, group == NULL ? NULL : &group->cs_node, task);
    tree_unlock(own);
    task->task_errors = errors;
    task->task_started = 0;
    task_set_asked(task, NOT_ASKED);
    task->task_edge_taken = 0;
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

/* May a task that its factory has not just made hang below the scope?  Not if
   the scope hangs below it; nor, unless it may come from `anywhere`, if it hangs
   elsewhere but below the root. */
static bool
scope_can_adopt(asyncio_state *state, CancelScopeObj *scope, TaskObj *task,
                bool anywhere)
{
    scope_node *own = &task->task_own_scope;
    if (!scope_belongs_to(scope, task->task_loop)
        || scope->cs_state != SCOPE_ACTIVE || own->host == NULL)
    {
        return false;
    }
    if (own->parent != NULL && !anywhere) {
        CancelScopeObj *root = find_root(state, task->task_loop);
        if (root == NULL || own->parent != &root->cs_node) {
            return false;
        }
    }
    for (scope_node *node = &scope->cs_node; node != NULL; node = node->parent) {
        if (node == own) {
            return false;
        }
    }
    return true;
}

/* Hang a task's own scope below another one, if scope_can_adopt() it; or if
   `scope` is NULL below the root, if there is one.  Return 1 if that could not
   be. */
static int
task_move(asyncio_state *state, TaskObj *task, CancelScopeObj *scope,
          bool anywhere)
{
    scope_node *own = &task->task_own_scope;
    PyObject *hosts = NULL, *old_msg = NULL;
    tree_lock(own);
    if (scope == NULL) {
        if (own->parent == NULL) {
            /* It is out of the tree already: its eager step failed. */
            tree_unlock(own);
            return 0;
        }
        scope = find_root(state, task->task_loop);
    }
    else if (!scope_can_adopt(state, scope, task, anywhere)) {
        tree_unlock(own);
        return 1;
    }
    CancelScopeObj *before = task_group_scope(task);
    PyObject *released = scope_set_parent(
        own, scope == NULL ? NULL : &scope->cs_node);
    /* What came from above does not concern the task any more. */
    if (own->requested && !own->host_requested) {
        old_msg = own->msg;
        own->msg = NULL;
    }
    own->requested = own->delivered = own->lifted = 0;
    bool is_last = before != NULL && before->cs_members == 0;
    int res = scope_mark(own, &hosts);
    tree_unlock(own);
    Py_XDECREF(old_msg);
    res = scope_finish_update(res, hosts);
    if (before != NULL && before != scope) {
        group_dismiss(before, task, is_last);
    }
    else {
        Py_XDECREF(before);
    }
    Py_XDECREF(released);
    return res;
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
        task_leave_tree(task, SCOPE_DESTROYED);
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
    /* Whoever waits for a lock can be overtaken by the garbage collector, which
       must not come across what nobody refers to. */
    _PyObject_ResurrectStart((PyObject *)task);
    task_leave_tree(task, SCOPE_DESTROYED);
    return _PyObject_ResurrectEnd((PyObject *)task);
}

static void
task_scopes_clear(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    task_leave_tree(task, SCOPE_DESTROYED);
    tree_lock(own);
    PyObject *msg = own->msg;
    own->msg = NULL;
    tree_unlock(own);
    Py_XDECREF(msg);
    /* It may have been outside the tree at its end. */
    if (task->task_shield_requests != NULL) {
        task_release_requests(task, true);
    }
    task_forget_delivery(task, NULL);
}

/* The innermost scope that counts in task.cancelling(), from `node` outwards.
   NULL if there is no more. */
static scope_node *
task_contribution(TaskObj *task, scope_node *node)
{
    scope_node *own = &task->task_own_scope;
    for (; node != own; node = node->parent) {
        if (node->delivered && !node->lifted) {
            return node;
        }
    }
    /* An own scope counts for all that is outside. */
    if (own->delivered && !own->lifted
        && (own->requested || scope_outer_cause(own) != NULL))
    {
        return own;
    }
    return NULL;
}

/* Task.cancel() on a task that is not done; once: interrupt one await. */
static int
task_cancel(TaskObj *task, PyObject *msg, bool once)
{
    scope_node *own = &task->task_own_scope;
    asyncio_state *state = get_asyncio_state_by_def((PyObject *)task);
    PyObject *old_msg = NULL;
    ShieldMarkObj *mark = NULL;
    shield_request *request = NULL;
    const shield_request *made = NULL;
    int taken = 0;

    if (own->has_shields) {
        if (shield_mark_get(state, &mark) < 0) {
            return -1;
        }
        if (mark != NULL) {
            request = PyMem_New(shield_request, 1);
            if (request == NULL) {
                Py_DECREF(mark);
                PyErr_NoMemory();
                return -1;
            }
        }
    }
    tree_lock(own);
    task->task_num_cancels_requested += 1;
    scope_node *target = task_find_target(task, mark);
    if (target != own) {
        request->node = target;
        request->msg = Py_NewRef(msg);
        request->before = task->task_shield_requests;
        task->task_shield_requests = request;
        made = request;
        request = NULL;
    }
    else if (!own->requested) {
        /* (Else the message of the scope that was left counts, which holds
           longer; that of this request is in task_cancel_msg as well.) */
        old_msg = own->msg;
        own->msg = Py_NewRef(msg);
    }
    if (!once) {
        target->host_requested = 1;
        if (own->host != NULL) {
            task_update_path(task, target);
        }
    }
    bool ask = task->task_fut_waiter != NULL
        && scope_is_visible(target, task->task_scope);
    tree_unlock(own);
    Py_XDECREF(mark);
    PyMem_Free(request);
    if (ask) {
        /* Unlike a scope, each call asks anew: the waiter may be a Task that
           caught and ignored the request before. */
        taken = cancel_waiter(task, msg);
        task->task_edge_taken = taken > 0 && once;
    }
    if (taken == 0) {
        /* The step is scheduled or under way, or a shield holds this back. */
        task_set_pending(task, made);
        if (made == NULL) {
            Py_XSETREF(task->task_cancel_msg, Py_NewRef(msg));
        }
    }
    Py_XDECREF(old_msg);
    return taken < 0 ? -1 : 0;
}

static long
task_count_cancels(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    long count = task->task_num_cancels_requested;
    if (own->host != NULL) {
        scope_node *node = task_contribution(task, task->task_scope);
        while (node != NULL) {
            count++;
            node = node == own ? NULL : task_contribution(task, node->parent);
        }
    }
    tree_unlock(own);
    return count;
}

static void
task_uncancel(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    scope_node *lifted = NULL;  /* the scope that has no request any more */
    PyObject *old_msg = NULL;

    if (task->task_shield_requests != NULL) {
        task_release_requests(task, false);
    }
    tree_lock(own);
    shield_request *request = task->task_shield_requests;
    if (task->task_num_cancels_requested > 0) {
        task->task_num_cancels_requested -= 1;
        if (task->task_num_cancels_requested == 0) {
            /* Nothing has to survive a scope. */
            task->task_edge_taken = 0;
        }
        if (request != NULL) {
            task->task_shield_requests = request->before;
            lifted = request->node;
            for (shield_request *other = request->before; other != NULL;
                 other = other->before)
            {
                if (other->node == lifted) {
                    lifted = NULL;
                    break;
                }
            }
        }
        else if (task->task_num_cancels_requested == 0) {
            lifted = own;
        }
        if (lifted != NULL) {
            lifted->host_requested = lifted->host_pending = 0;
            if (own->host != NULL) {
                task_update_path(task, lifted);
            }
            if (lifted == own && !own->requested) {
                old_msg = own->msg;
                own->msg = NULL;
            }
        }
    }
    else {
        request = NULL;
        if (own->host != NULL) {
            scope_node *node = task_contribution(task, task->task_scope);
            if (node != NULL) {
                node->lifted = 1;
            }
        }
    }
    tree_unlock(own);
    Py_XDECREF(old_msg);
    if (request != NULL) {
        Py_XDECREF(request->msg);
        PyMem_Free(request);
    }
    if (lifted != NULL) {
        task_update_pending(task);
        task_forget_delivery(task, lifted);
    }
}
