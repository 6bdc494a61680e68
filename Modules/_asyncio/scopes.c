/* Cancel scopes: the one tree through which asyncio cancels.

   Included by _asynciomodule.c.  Lib/asyncio/cancelscopes.py is the same in
   Python and begins with the explanation of the tree.  In short:
   a node is effectively cancelled if it has a cause, which is a node whose
   cancel was requested: itself, or an ancestor with no shield in between.

   scope_mark() restores that below a node after any change and runs no Python
   code.  It collects the tasks that are blocked in a scope that has just
   become cancelled; scope_interrupt_all() then interrupts them, and since
   anything can happen in there, it looks at each of them afresh.

   The tree belongs to the thread that runs the event loop, like the rest of a
   loop's state: it is not locked, and who comes from another thread goes
   through loop.call_soon_threadsafe().

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
       asked to cancel, once (task_asked), and its outcome is kept;
     - on leaving SCHEDULED after a bare yield, CancelledError is thrown.

   task_must_cancel is set by Task.cancel() if no Future took the request: it
   then overrides the Future's outcome on leaving SCHEDULED, and cancels the
   task if its coroutine ends.  It can be set while a shield hides the task's
   own scope; it then waits for the shield to be left.

   Before the first step (task_started) nothing is thrown, so that a coroutine
   always gets the chance to reach its first try block.

   task_must_cancel, task_started and task_asked are written here and in
   task_step_impl() only, in the thread of the loop and, but for the task_asked
   of a task that somebody else interrupts, in the task's critical section.
*/

/* What CancelScope._spawn() is at in this thread: how the scope of a group
   passes through any loop and any task factory, in time for an eager first
   step.  The first Task that is made takes the scope; if it was not that one
   that was asked for, _spawn() puts it right. */
typedef struct {
    CancelScopeObj *scope;      /* borrowed; NULL once taken */
    TaskObj *taker;             /* owned */
} spawning_state;

static _Py_thread_local spawning_state *spawning;


/* ----- The tree ----- */

/* The CancelScope of a node that is not a task's own scope. */
static inline CancelScopeObj *
scope_of_node(scope_node *node)
{
    assert(!node->is_task);
    return _Py_CONTAINER_OF(node, CancelScopeObj, cs_node);
}

static inline scope_node *
scope_outer_cause(scope_node *node)
{
    return node->shield || node->parent == NULL ? NULL : node->parent->cause;
}

static inline scope_node *
scope_find_cause(scope_node *node)
{
    return node->requested ? node : scope_outer_cause(node);
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

static void
scope_attach(scope_node *node, scope_node *parent, TaskObj *host)
{
    node->host = host;
    node->parent = parent;
    llist_init(&node->children);
    if (parent != NULL) {
        llist_insert_tail(&parent->children, &node->siblings);
    }
    node->cause = scope_find_cause(node);
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

/* Restore the invariant from `top` down.  Append the tasks that are blocked in
   a scope that this has cancelled to the list *hosts, which is made if it is
   NULL.  Runs no Python code.

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
        changed = cause != node->cause;
        if (!changed) {
            continue;
        }
        TaskObj *host = node->host;
        if (node->cause == NULL
            && host->task_scope == node && host->task_fut_waiter != NULL)
        {
            if (*hosts == NULL) {
                *hosts = PyList_New(0);
            }
            if (*hosts == NULL || PyList_Append(*hosts, (PyObject *)host) < 0) {
                res = -1;
            }
        }
        node->cause = cause;
    }
    return res;
}

/* Take a node out of the tree; what is below it moves up to `heir`, one of its
   ancestors, or NULL. */
static int
scope_detach(scope_node *node, scope_node *heir, PyObject **hosts)
{
    int res = 0;

    while (!llist_empty(&node->children)) {
        scope_node *child = llist_data(node->children.next,
                                       scope_node, siblings);
        llist_remove(&child->siblings);
        child->parent = heir;
        if (heir != NULL) {
            llist_insert_tail(&heir->children, &child->siblings);
        }
        if (scope_mark(child, hosts) < 0) {
            res = -1;
        }
    }
    if (node->parent != NULL) {
        llist_remove(&node->siblings);
    }
    node->parent = NULL;
    node->cause = NULL;
    node->host = NULL;
    return res;
}


/* ----- Delivery ----- */

static PyObject *
scope_msg(scope_node *node)
{
    return Py_NewRef(node->msg == NULL ? Py_None : node->msg);
}

/* Call task_fut_waiter.cancel(msg): 1 if it takes the request, 0 if not. */
static int
cancel_waiter(TaskObj *task, PyObject *msg)
{
    /* A hostile cancel() could make the task drop its waiter. */
    PyObject *waiter = Py_NewRef(task->task_fut_waiter);
    PyObject *res = PyObject_CallMethodOneArg(waiter, &_Py_ID(cancel), msg);
    Py_DECREF(waiter);
    if (res == NULL) {
        return -1;
    }
    int is_true = PyObject_IsTrue(res);
    Py_DECREF(res);
    return is_true;
}

/* If the task's scope is cancelled, ask what the task is blocked on to give
   up: once a yield.  If it will, it stands for the requests made through
   Task.cancel() as well. */
static int
task_interrupt(TaskObj *task)
{
    scope_node *cause = task->task_scope->cause;
    if (cause == NULL || task->task_fut_waiter == NULL || task->task_asked) {
        return 0;
    }
    task->task_asked = 1;
    PyObject *msg = scope_msg(cause);
    int res = cancel_waiter(task, msg);
    Py_DECREF(msg);
    if (res < 0) {
        return -1;
    }
    if (res && task->task_must_cancel
        && scope_is_visible(&task->task_own_scope, task->task_scope))
    {
        task->task_must_cancel = 0;
    }
    return 0;
}

/* Interrupt every task of the list, which may be NULL and is released, but for
   `except`; then raise the first error. */
static int
scope_interrupt_all(PyObject *hosts, TaskObj *except)
{
    if (hosts == NULL) {
        return 0;
    }
    PyObject *error = NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hosts); i++) {
        TaskObj *task = (TaskObj *)PyList_GET_ITEM(hosts, i);
        if (task != except && task_interrupt(task) < 0) {
            if (error == NULL) {
                error = PyErr_GetRaisedException();
            }
            else {
                PyErr_Clear();
            }
        }
    }
    Py_DECREF(hosts);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
        return -1;
    }
    return 0;
}

/* The end of every change to the tree: `res` tells how the marking went. */
static int
scope_finish_update(int res, PyObject *hosts)
{
    PyObject *error = PyErr_GetRaisedException();
    if (scope_interrupt_all(hosts, NULL) < 0) {
        Py_XDECREF(error);
        return -1;
    }
    PyErr_SetRaisedException(error);
    return res;
}

static int
scope_update(scope_node *node)
{
    PyObject *hosts = NULL;
    int res = scope_mark(node, &hosts);
    return scope_finish_update(res, hosts);
}

/* The CancelledError that `cause` asked for reaches the coroutine. */
static void
task_note_delivery(TaskObj *task, scope_node *cause)
{
    scope_node *own = &task->task_own_scope;
    if (cause == own) {
        /* The requests made through cancel() have a count of their own. */
        return;
    }
    if (cause->host == task) {
        cause->delivered = 1;
    }
    else {
        own->delivered = 1;
    }
}

/* The task, whose scope is cancelled, is about to run.  If it gets something
   else than *exc, put a new reference there and return 1; -1 is an error. */
static int
task_exception_for_step(asyncio_state *state, TaskObj *task, PyObject **exc)
{
    if (!task->task_started) {
        return 0;
    }
    scope_node *cause = task->task_scope->cause;
    bool explicit = task->task_must_cancel
        && scope_is_visible(&task->task_own_scope, task->task_scope);
    int res = 0;

    if (*exc == NULL
        || !PyErr_GivenExceptionMatches(*exc, state->asyncio_CancelledError))
    {
        /* A result or an error that the task waited for is kept: there is
           always a next yield. */
        bool bare_yield = task->task_fut_waiter == NULL && *exc == NULL;
        if (!explicit && !bare_yield) {
            return 0;
        }
        /* A second __init__() that failed has cleared task_cancel_msg. */
        PyObject *msg = explicit && task->task_cancel_msg != NULL
            ? Py_NewRef(task->task_cancel_msg) : scope_msg(cause);
        if (Py_IsNone(msg)) {
            *exc = PyObject_CallNoArgs(state->asyncio_CancelledError);
        }
        else {
            *exc = PyObject_CallOneArg(state->asyncio_CancelledError, msg);
        }
        Py_DECREF(msg);
        if (*exc == NULL) {
            return -1;
        }
        res = 1;
        /* Making the exception may have run anything. */
        cause = task->task_scope->cause;
    }
    if (explicit) {
        task->task_must_cancel = 0;
    }
    if (cause != NULL) {
        task_note_delivery(task, cause);
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

/* The task is done or is going away: take it and the scopes that it has left
   open out of the tree.  Keeps the current exception. */
static void
task_leave_tree(TaskObj *task, scope_state state)
{
    if (!task_is_in_tree(task)) {
        return;
    }
    scope_node *own = &task->task_own_scope;
    if (task->task_scope == own && llist_empty(&own->children)) {
        /* As a rule: a member of a group that has left what it entered. */
        llist_remove(&own->siblings);
        own->parent = NULL;
        own->cause = NULL;
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *hosts = NULL;
    int res = 0;

    while (task->task_scope != own) {
        CancelScopeObj *scope = scope_of_node(task->task_scope);
        scope_node *parent = scope->cs_node.parent;
        deadlines_remove(scope);
        if (scope_detach(&scope->cs_node, own->parent, &hosts) < 0) {
            res = -1;
        }
        scope->cs_state = state;
        task->task_scope = parent;
    }
    if (scope_detach(own, own->parent, &hosts) < 0) {
        res = -1;
    }
    own->host = task;   /* It has no other, and may be asked. */
    if (scope_finish_update(res, hosts) < 0) {
        PyErr_FormatUnraisable("Exception ignored while %R left its scopes",
                               task);
    }
    PyErr_SetRaisedException(exc);
}

/* Give a task that is being initialized its own scope. */
static void
task_adopt(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    /* Nothing prevents a second call of __init__(). */
    task_leave_tree(task, SCOPE_ABANDONED);
    Py_CLEAR(own->msg);
    memset(own, 0, sizeof(*own));
    own->is_task = 1;
    scope_node *group = NULL;
    if (spawning != NULL && spawning->scope != NULL) {
        group = &spawning->scope->cs_node;
        spawning->scope = NULL;
        spawning->taker = (TaskObj *)Py_NewRef(task);
    }
    scope_attach(own, group, task);
    task->task_scope = own;
    task->task_started = 0;
    task->task_asked = 0;
}

/* Hang a task's own scope below another parent, or none. */
static int
task_move(TaskObj *task, scope_node *parent)
{
    scope_node *own = &task->task_own_scope;
    assert(parent == NULL || own->parent == NULL);
    if (own->parent != NULL) {
        llist_remove(&own->siblings);
    }
    own->parent = parent;
    if (parent != NULL) {
        llist_insert_tail(&parent->children, &own->siblings);
    }
    return scope_update(own);
}

/* The task is being deallocated: take it out of the tree while it can still be
   referred to.  Its finalizer has done so, but that runs once, and a task that
   was resurrected by it may have entered scopes since.  Return true if the
   task has been resurrected again. */
static bool
task_scopes_dealloc(TaskObj *task)
{
    if (!task_is_in_tree(task)) {
        return false;
    }
    _PyObject_ResurrectStart((PyObject *)task);
    task_leave_tree(task, SCOPE_DESTROYED);
    return _PyObject_ResurrectEnd((PyObject *)task);
}

static void
task_scopes_clear(TaskObj *task)
{
    task_leave_tree(task, SCOPE_DESTROYED);
    Py_CLEAR(task->task_own_scope.msg);
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
    if (own->delivered && !own->lifted && scope_outer_cause(own) != NULL) {
        return own;
    }
    return NULL;
}

/* Task.cancel() on a task that is not done. */
static int
task_cancel(TaskObj *task, PyObject *msg)
{
    scope_node *own = &task->task_own_scope;
    PyObject *hosts = NULL;
    int marked = 0, taken = 0;

    task->task_num_cancels_requested += 1;
    Py_XSETREF(own->msg, Py_NewRef(msg));
    own->requested = 1;
    if (own->host != NULL && own->cause == NULL) {
        marked = scope_mark(own, &hosts);
    }
    if (marked == 0 && task->task_fut_waiter != NULL
        && scope_is_visible(own, task->task_scope))
    {
        /* Unlike a scope, each call asks anew: the waiter may be a Task that
           caught and ignored the request before. */
        task->task_asked = 1;
        taken = cancel_waiter(task, msg);
    }
    if (taken == 0) {
        /* The step is scheduled or under way, or a shield holds this back. */
        task->task_must_cancel = 1;
        Py_XSETREF(task->task_cancel_msg, Py_NewRef(msg));
    }
    PyObject *error = PyErr_GetRaisedException();
    if (scope_interrupt_all(hosts, task) < 0) {
        if (error == NULL) {
            return -1;
        }
        PyErr_Clear();
    }
    PyErr_SetRaisedException(error);
    return error == NULL ? 0 : -1;
}

static long
task_count_cancels(TaskObj *task)
{
    long count = task->task_num_cancels_requested;
    if (task->task_own_scope.host != NULL) {
        scope_node *own = &task->task_own_scope;
        scope_node *node = task_contribution(task, task->task_scope);
        while (node != NULL) {
            count++;
            node = node == own ? NULL : task_contribution(task, node->parent);
        }
    }
    return count;
}

static int
task_uncancel(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    if (task->task_num_cancels_requested > 0) {
        task->task_num_cancels_requested -= 1;
        if (task->task_num_cancels_requested == 0) {
            task->task_must_cancel = 0;
            own->requested = 0;
            if (own->host != NULL) {
                return scope_update(own);
            }
        }
    }
    else if (own->host != NULL) {
        scope_node *node = task_contribution(task, task->task_scope);
        if (node != NULL) {
            node->lifted = 1;
        }
    }
    return 0;
}
