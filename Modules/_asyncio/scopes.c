/* Cancel scopes: the one tree through which asyncio cancels.

   This file is included by _asynciomodule.c; Lib/asyncio/cancelscopes.py is
   the same in Python and begins with the explanation of the tree.  In short:
   a node is effectively cancelled if it has a cause, and

       cause = the node itself, if its cancel was requested; else
               none, if it is shielded or has no parent; else
               the parent's cause.

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
        |      task_interrupt_yield()                |
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
*/

/*[clinic input]
module _asyncio
class _asyncio.CancelScope "CancelScopeObj *" "clinic_state()->CancelScopeType"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=20298a4bbfec9ac3]*/

/* The life of a CancelScope. */
typedef enum {
    SCOPE_NEW,
    SCOPE_ACTIVE,
    SCOPE_LEFT,
    SCOPE_ABANDONED,            /* its task ended without leaving it */
    SCOPE_DESTROYED,            /* its task was destroyed while pending */
} scope_state;

/* What repr() shows; the values of cancelscopes._NEW and so on. */
static const char * const scope_state_names[] = {
    "unentered", "active", "left", "abandoned", "destroyed",
};

struct DeadlinesObj;

typedef struct {
    PyObject_HEAD
    scope_node cs_node;
    /* The _PyCancelScope that stands in for this scope in a pure-Python task,
       else NULL.  Owned. */
    PyObject *cs_twin;
    /* loop.time() clock; Py_INFINITY for none.  Until entry it counts from
       entry if cs_relative. */
    double cs_deadline;
    /* The heap that holds this scope while its deadline is armed.  Owned. */
    struct DeadlinesObj *cs_deadlines;
    Py_ssize_t cs_heap_index;
    scope_state cs_state;
    unsigned cs_relative: 1;
    unsigned cs_expired: 1;     /* the deadline was the first to ask */
    unsigned cs_caught: 1;
} CancelScopeObj;

/* All armed deadlines of one event loop, behind a single timer.

   The timer is set for the earliest deadline there was when it was set, and is
   moved only when an earlier one comes: leaving a scope just takes it off the
   heap.  So a program that opens a scope with a deadline again and again sets
   one timer in a while instead of one a scope. */
typedef struct DeadlinesObj {
    PyObject_HEAD
    PyObject *dl_loop;
    PyObject *dl_context;       /* empty: the timer works for everybody */
    PyObject *dl_timer;         /* TimerHandle, or NULL while not armed */
    double dl_armed;            /* when it is due */
    /* A binary heap.  Borrowed: a scope in it owns the DeadlinesObj. */
    CancelScopeObj **dl_heap;
    Py_ssize_t dl_size;
    Py_ssize_t dl_allocated;
    struct llist_node dl_registry;  /* in asyncio_state.deadlines */
} DeadlinesObj;

#include "clinic/scopes.c.h"

#define CancelScope_CAST(op) ((CancelScopeObj *)(op))
#define Deadlines_CAST(op) ((DeadlinesObj *)(op))

/* The scope that the next Task made in this thread is spawned into: how the
   scope of a group passes through any loop and any task factory, in time for
   an eager first step.  Borrowed from CancelScope._spawn(), which resets it. */
static _Py_thread_local CancelScopeObj *spawning_scope;


/* ----- The tree ----- */

static inline PyObject *
scope_owner(scope_node *node)
{
    if (node->is_task) {
        return (PyObject *)_Py_CONTAINER_OF(node, TaskObj, task_own_scope);
    }
    return (PyObject *)_Py_CONTAINER_OF(node, CancelScopeObj, cs_node);
}

static inline bool
scope_owns_parent(scope_node *node)
{
    return node->parent != NULL
        && node->parent != &node->host->task_own_scope;
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
        if (scope_owns_parent(node)) {
            Py_INCREF(scope_owner(parent));
        }
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

/* Take a node out of the tree; what is below it moves up to its parent.  The
   caller holds a reference to the node's owner and gets the one that the node
   had to its parent. */
static int
scope_detach(scope_node *node, PyObject **hosts)
{
    int res = 0;
    scope_node *parent = node->parent;

    while (!llist_empty(&node->children)) {
        scope_node *child = llist_data(node->children.next,
                                       scope_node, siblings);
        PyObject *unowned = scope_owns_parent(child) ? scope_owner(node) : NULL;
        llist_remove(&child->siblings);
        child->parent = parent;
        if (parent != NULL) {
            llist_insert_tail(&parent->children, &child->siblings);
            if (scope_owns_parent(child)) {
                Py_INCREF(scope_owner(parent));
            }
        }
        if (scope_mark(child, hosts) < 0) {
            res = -1;
        }
        Py_XDECREF(unowned);
    }
    if (parent != NULL) {
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

/* waiter.cancel(msg).  Steals neither. */
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
   up: once a yield.  Return if it will, or -1. */
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
    return res;
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
    if (cause->host == task) {
        cause->delivered = 1;
    }
    else {
        task->task_own_scope.delivered = 1;
    }
}

/* The task has yielded a Future, and its scope is cancelled. */
static int
task_interrupt_yield(TaskObj *task)
{
    int res = task_interrupt(task);
    if (res < 0) {
        return -1;
    }
    if (res && scope_is_visible(&task->task_own_scope, task->task_scope)) {
        task->task_must_cancel = 0;
    }
    return 0;
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
        PyObject *msg = scope_msg(cause);
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

static void
task_adopt(TaskObj *task)
{
    CancelScopeObj *group = spawning_scope;
    spawning_scope = NULL;
    scope_node *own = &task->task_own_scope;
    own->is_task = 1;
    own->requested = 0;
    own->delivered = 0;
    own->lifted = 0;
    Py_CLEAR(own->msg);
    scope_attach(own, group == NULL ? NULL : &group->cs_node, task);
    task->task_scope = own;
    task->task_started = 0;
    task->task_asked = 0;
}

static void deadlines_remove(CancelScopeObj *);

/* The task is done or is going away: take it and the scopes that it has left
   open out of the tree.  Keeps the current exception. */
static void
task_leave_tree(TaskObj *task, scope_state state)
{
    scope_node *own = &task->task_own_scope;
    if (own->host == NULL
        || (task->task_scope == own && own->parent == NULL
            && llist_empty(&own->children)))
    {
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *hosts = NULL;
    int res = 0;

    while (task->task_scope != own) {
        CancelScopeObj *scope = (CancelScopeObj *)scope_owner(task->task_scope);
        scope_node *parent = scope->cs_node.parent;
        deadlines_remove(scope);
        if (scope_detach(&scope->cs_node, &hosts) < 0) {
            res = -1;
        }
        scope->cs_state = state;
        /* The scope's reference to its parent becomes the task's. */
        task->task_scope = parent;
        Py_DECREF(scope);
    }
    PyObject *group = scope_owns_parent(own) ? scope_owner(own->parent) : NULL;
    if (scope_detach(own, &hosts) < 0) {
        res = -1;
    }
    own->host = task;   /* It has no other, and may be asked. */
    Py_XDECREF(group);
    if (scope_finish_update(res, hosts) < 0) {
        PyErr_FormatUnraisable("Exception ignored while %R left its scopes",
                               task);
    }
    PyErr_SetRaisedException(exc);
}

static int
task_scopes_traverse(TaskObj *task, visitproc visit, void *arg)
{
    scope_node *own = &task->task_own_scope;
    Py_VISIT(own->msg);
    if (own->host != NULL) {
        if (task->task_scope != own) {
            Py_VISIT(scope_owner(task->task_scope));
        }
        if (scope_owns_parent(own)) {
            Py_VISIT(scope_owner(own->parent));
        }
    }
    return 0;
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
    /* An own scope counts for all that is outside; the requests made through
       cancel() have their own count. */
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


/* ----- Deadlines ----- */

static inline void
deadlines_put(DeadlinesObj *self, Py_ssize_t index, CancelScopeObj *scope)
{
    self->dl_heap[index] = scope;
    scope->cs_heap_index = index;
}

/* Let the entry at `index` rise or sink to where it belongs. */
static void
deadlines_settle(DeadlinesObj *self, Py_ssize_t index)
{
    CancelScopeObj **heap = self->dl_heap;
    CancelScopeObj *scope = heap[index];

    while (index > 0) {
        Py_ssize_t above = (index - 1) / 2;
        if (heap[above]->cs_deadline <= scope->cs_deadline) {
            break;
        }
        deadlines_put(self, index, heap[above]);
        index = above;
    }
    for (;;) {
        Py_ssize_t below = 2 * index + 1;
        if (below >= self->dl_size) {
            break;
        }
        if (below + 1 < self->dl_size
            && heap[below + 1]->cs_deadline < heap[below]->cs_deadline)
        {
            below++;
        }
        if (scope->cs_deadline <= heap[below]->cs_deadline) {
            break;
        }
        deadlines_put(self, index, heap[below]);
        index = below;
    }
    deadlines_put(self, index, scope);
}

static void
deadlines_remove(CancelScopeObj *scope)
{
    DeadlinesObj *self = scope->cs_deadlines;
    if (self == NULL) {
        return;
    }
    Py_ssize_t index = scope->cs_heap_index;
    CancelScopeObj *last = self->dl_heap[--self->dl_size];
    if (last != scope) {
        deadlines_put(self, index, last);
        deadlines_settle(self, index);
    }
    scope->cs_deadlines = NULL;
    Py_DECREF(self);
}

/* Set the timer for the earliest deadline, if it is not due by then anyway. */
static int
deadlines_arm(DeadlinesObj *self)
{
    if (self->dl_size == 0) {
        return 0;
    }
    double when = self->dl_heap[0]->cs_deadline;
    if (self->dl_timer != NULL) {
        if (self->dl_armed <= when) {
            return 0;
        }
        PyObject *timer = self->dl_timer;
        self->dl_timer = NULL;
        PyObject *res = PyObject_CallMethodNoArgs(timer, &_Py_ID(cancel));
        Py_DECREF(timer);
        if (res == NULL) {
            return -1;
        }
        Py_DECREF(res);
    }
    PyObject *when_obj = PyFloat_FromDouble(when);
    if (when_obj == NULL) {
        return -1;
    }
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    PyObject *args[] = {
        self->dl_loop, when_obj, (PyObject *)self, self->dl_context,
    };
    PyObject *timer = PyObject_VectorcallMethod(
        &_Py_ID(call_at), args, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET,
        state->context_kwname);
    Py_DECREF(when_obj);
    if (timer == NULL) {
        return -1;
    }
    self->dl_armed = when;
    Py_XSETREF(self->dl_timer, timer);
    return 0;
}

/* The DeadlinesObj of a loop; a new reference. */
static DeadlinesObj *
deadlines_of_loop(asyncio_state *state, PyObject *loop)
{
    struct llist_node *node;
    llist_for_each(node, &state->deadlines) {
        DeadlinesObj *self = llist_data(node, DeadlinesObj, dl_registry);
        if (self->dl_loop == loop) {
            return (DeadlinesObj *)Py_NewRef(self);
        }
    }
    DeadlinesObj *self = PyObject_GC_New(DeadlinesObj, state->DeadlinesType);
    if (self == NULL) {
        return NULL;
    }
    self->dl_loop = Py_NewRef(loop);
    self->dl_context = NULL;
    self->dl_timer = NULL;
    self->dl_armed = 0;
    self->dl_heap = NULL;
    self->dl_size = 0;
    self->dl_allocated = 0;
    llist_insert_tail(&state->deadlines, &self->dl_registry);
    PyObject_GC_Track(self);
    self->dl_context = PyContext_New();
    if (self->dl_context == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* Put a scope with a deadline on the heap of its host's loop. */
static int
deadlines_add(asyncio_state *state, CancelScopeObj *scope, PyObject *loop)
{
    assert(scope->cs_deadlines == NULL);
    DeadlinesObj *self = deadlines_of_loop(state, loop);
    if (self == NULL) {
        return -1;
    }
    if (self->dl_size == self->dl_allocated) {
        Py_ssize_t allocated = self->dl_allocated * 2 + 8;
        CancelScopeObj **heap = PyMem_Realloc(
            self->dl_heap, allocated * sizeof(CancelScopeObj *));
        if (heap == NULL) {
            Py_DECREF(self);
            PyErr_NoMemory();
            return -1;
        }
        self->dl_heap = heap;
        self->dl_allocated = allocated;
    }
    scope->cs_deadlines = self;
    deadlines_put(self, self->dl_size++, scope);
    deadlines_settle(self, scope->cs_heap_index);
    if (deadlines_arm(self) < 0) {
        deadlines_remove(scope);
        return -1;
    }
    return 0;
}

static int
loop_time(PyObject *loop, double *now)
{
    PyObject *res = PyObject_CallMethodNoArgs(loop, &_Py_ID(time));
    if (res == NULL) {
        return -1;
    }
    *now = PyFloat_AsDouble(res);
    Py_DECREF(res);
    return *now == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* The timer is due: cancel the scopes whose deadline has passed. */
static PyObject *
Deadlines_call(PyObject *op, PyObject *Py_UNUSED(args),
               PyObject *Py_UNUSED(kwds))
{
    DeadlinesObj *self = Deadlines_CAST(op);
    double now;
    PyObject *hosts = NULL;
    int res = 0;

    Py_CLEAR(self->dl_timer);
    if (loop_time(self->dl_loop, &now) < 0) {
        return NULL;
    }
    /* Loops run a timer up to one tick of the clock too early. */
    now = Py_MAX(now, self->dl_armed);
    while (self->dl_size > 0 && self->dl_heap[0]->cs_deadline <= now) {
        CancelScopeObj *scope = self->dl_heap[0];
        deadlines_remove(scope);
        scope->cs_expired = 1;
        scope->cs_node.requested = 1;
        if (scope->cs_node.cause == NULL
            && scope_mark(&scope->cs_node, &hosts) < 0)
        {
            res = -1;
        }
    }
    if (res == 0) {
        res = deadlines_arm(self);
    }
    if (scope_finish_update(res, hosts) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
Deadlines_traverse(PyObject *op, visitproc visit, void *arg)
{
    DeadlinesObj *self = Deadlines_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dl_loop);
    Py_VISIT(self->dl_context);
    Py_VISIT(self->dl_timer);
    return 0;
}

static int
Deadlines_clear(PyObject *op)
{
    /* The loop stays: it is what the registry goes by. */
    DeadlinesObj *self = Deadlines_CAST(op);
    Py_CLEAR(self->dl_timer);
    return 0;
}

static void
Deadlines_dealloc(PyObject *op)
{
    DeadlinesObj *self = Deadlines_CAST(op);
    PyTypeObject *tp = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    assert(self->dl_size == 0);
    llist_remove(&self->dl_registry);
    PyMem_Free(self->dl_heap);
    Py_CLEAR(self->dl_timer);
    Py_CLEAR(self->dl_context);
    Py_CLEAR(self->dl_loop);
    tp->tp_free(self);
    Py_DECREF(tp);
}

static PyType_Slot Deadlines_slots[] = {
    {Py_tp_dealloc, Deadlines_dealloc},
    {Py_tp_traverse, Deadlines_traverse},
    {Py_tp_clear, Deadlines_clear},
    {Py_tp_call, Deadlines_call},
    {0, NULL},
};

static PyType_Spec Deadlines_spec = {
    .name = "_asyncio._Deadlines",
    .basicsize = sizeof(DeadlinesObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE),
    .slots = Deadlines_slots,
};


/* ----- CancelScope ----- */

/* What is not worth a line of C: asyncio.cancelscopes has it. */
static PyObject *
cancelscopes_attr(const char *name)
{
    return PyImport_ImportModuleAttrString("asyncio.cancelscopes", name);
}

static inline TaskObj *
current_c_task(asyncio_state *state)
{
    PyObject *task = ((_PyThreadStateImpl *)_PyThreadState_GET())
        ->asyncio_running_task;
    return task != NULL && Task_Check(state, task) ? (TaskObj *)task : NULL;
}

/* Convert a deadline; None and infinity are both "none". */
static int
parse_deadline(PyObject *obj, const char *name, double *deadline)
{
    if (Py_IsNone(obj)) {
        *deadline = Py_INFINITY;
        return 0;
    }
    double value = PyFloat_AsDouble(obj);
    if (value == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (isnan(value)) {
        PyErr_Format(PyExc_ValueError, "%s must not be NaN", name);
        return -1;
    }
    *deadline = value;
    return 0;
}

static PyObject *
deadline_as_object(double deadline)
{
    if (deadline == Py_INFINITY) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(deadline);
}

static int
parse_shield(PyObject *obj)
{
    if (!PyBool_Check(obj)) {
        PyErr_Format(PyExc_TypeError, "shield must be a bool, not %T", obj);
        return -1;
    }
    return Py_IsTrue(obj);
}

static CancelScopeObj *
cancel_scope_new(asyncio_state *state, double deadline, bool shield)
{
    PyTypeObject *tp = state->CancelScopeType;
    CancelScopeObj *self = (CancelScopeObj *)tp->tp_alloc(tp, 0);
    if (self != NULL) {
        self->cs_deadline = deadline;
        self->cs_node.shield = shield;
    }
    return self;
}

/*[clinic input]
@classmethod
_asyncio.CancelScope.__new__

    *
    deadline: object = None
    shield: object = False

A block of code that can be cancelled as one.

Use it as a plain `with`, inside a task.  Once the scope is cancelled,
every await in its block that has to wait raises CancelledError, until the
block is left; there the scope swallows the error.

deadline -- when the scope cancels itself, in seconds on the clock of the
    event loop, or None.
shield -- keep cancellation that comes from outside away from the block.

Modelled on trio.CancelScope.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_impl(PyTypeObject *type, PyObject *deadline,
                          PyObject *shield)
/*[clinic end generated code: output=55b93b78191dd916 input=12907ab46e38c77d]*/
{
    double when;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(deadline, "deadline", &when) < 0) {
        return NULL;
    }
    return (PyObject *)cancel_scope_new(get_asyncio_state_by_cls(type),
                                        when, shielded);
}

/* Refuse a change that comes from another thread, in debug mode. */
static int
scope_check_thread(CancelScopeObj *self)
{
    if (self->cs_state != SCOPE_ACTIVE) {
        return 0;
    }
    PyObject *loop = Py_NewRef(self->cs_node.host->task_loop);
    PyObject *debug = PyObject_CallMethodNoArgs(loop, &_Py_ID(get_debug));
    int res = debug == NULL ? -1 : PyObject_IsTrue(debug);
    Py_XDECREF(debug);
    if (res > 0) {
        PyObject *check = cancelscopes_attr("_check_calling_loop");
        PyObject *none = check == NULL ? NULL : PyObject_CallOneArg(check, loop);
        Py_XDECREF(check);
        res = none == NULL ? -1 : 0;
        Py_XDECREF(none);
    }
    Py_DECREF(loop);
    return res;
}

/* The request was made; by the deadline, if `expired`. */
static int
scope_request(CancelScopeObj *self, PyObject *msg, bool expired)
{
    scope_node *node = &self->cs_node;
    node->requested = 1;
    self->cs_expired = expired;
    Py_XSETREF(node->msg, Py_XNewRef(msg));
    deadlines_remove(self);
    /* In a scope that is cancelled already everybody knows. */
    if (self->cs_state == SCOPE_ACTIVE && node->cause == NULL) {
        return scope_update(node);
    }
    return 0;
}

/* Arm the deadline of an active scope, or expire it. */
static int
scope_arm(CancelScopeObj *self)
{
    if (self->cs_deadline == Py_INFINITY || self->cs_node.requested) {
        return 0;
    }
    double now;
    PyObject *loop = Py_NewRef(self->cs_node.host->task_loop);
    int res = loop_time(loop, &now);
    if (res == 0 && self->cs_state == SCOPE_ACTIVE) {
        if (self->cs_deadline <= now) {
            res = scope_request(self, NULL, true);
        }
        else {
            res = deadlines_add(get_asyncio_state_by_cls(Py_TYPE(self)),
                                self, loop);
        }
    }
    Py_DECREF(loop);
    return res;
}

/* Take an active scope out of the tree. */
static int
scope_leave(CancelScopeObj *self)
{
    scope_node *node = &self->cs_node;
    scope_node *parent = node->parent;
    TaskObj *task = (TaskObj *)Py_NewRef(node->host);
    PyObject *owned = scope_owns_parent(node) ? scope_owner(parent) : NULL;
    PyObject *hosts = NULL;

    deadlines_remove(self);
    self->cs_state = SCOPE_LEFT;
    int res = scope_detach(node, &hosts);
    if (task->task_scope == node) {
        /* Our reference to the parent becomes the task's. */
        task->task_scope = parent;
        Py_DECREF(self);
    }
    else {
        Py_XDECREF(owned);
    }
    if (res < 0 || hosts != NULL) {
        res = scope_finish_update(res, hosts);
    }
    /* After a wrong exit the task may be blocked in the parent now. */
    if (res == 0 && task_interrupt(task) < 0) {
        res = -1;
    }
    Py_DECREF(task);
    return res;
}

/* Enter a scope where the current task is none of ours: the pure-Python class
   knows what to do, and what to say if it cannot. */
static PyObject *
scope_enter_twin(CancelScopeObj *self)
{
    PyObject *enter = cancelscopes_attr("_enter_twin");
    if (enter == NULL) {
        return NULL;
    }
    PyObject *deadline = deadline_as_object(self->cs_deadline);
    PyObject *twin = NULL;
    if (deadline != NULL) {
        twin = PyObject_CallFunction(
            enter, "OOOOO", deadline,
            self->cs_relative ? Py_True : Py_False,
            self->cs_node.shield ? Py_True : Py_False,
            self->cs_node.requested ? Py_True : Py_False,
            self->cs_node.msg == NULL ? Py_None : self->cs_node.msg);
        Py_DECREF(deadline);
    }
    Py_DECREF(enter);
    if (twin == NULL) {
        return NULL;
    }
    Py_XSETREF(self->cs_twin, twin);
    self->cs_state = SCOPE_ACTIVE;
    return Py_NewRef(self);
}

/*[clinic input]
_asyncio.CancelScope.__enter__
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope___enter___impl(CancelScopeObj *self)
/*[clinic end generated code: output=265b5836de5f3a5c input=fb634df30bcc8b04]*/
{
    if (self->cs_state != SCOPE_NEW) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This CancelScope has already been entered; "
                        "make a new one for each \"with\" block");
        return NULL;
    }
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    TaskObj *task = current_c_task(state);
    if (task == NULL) {
        return scope_enter_twin(self);
    }
    if (self->cs_relative) {
        double now;
        if (loop_time(task->task_loop, &now) < 0) {
            return NULL;
        }
        self->cs_deadline += now;
        self->cs_relative = 0;
    }
    scope_attach(&self->cs_node, task->task_scope, task);
    /* The task's reference to the scope that was on top is ours now, and it
       gets one to us: see scope_attach() for the one that we have taken. */
    if (scope_owns_parent(&self->cs_node)) {
        Py_DECREF(scope_owner(task->task_scope));
    }
    task->task_scope = &((CancelScopeObj *)Py_NewRef(self))->cs_node;
    self->cs_state = SCOPE_ACTIVE;
    if (scope_arm(self) < 0) {
        scope_leave(self);
        self->cs_state = SCOPE_NEW;
        return NULL;
    }
    return Py_NewRef(self);
}

/* Leaving the scope now is wrong: say why, and take it out if it is still in.
   Return 1 if nobody is to blame, for the coroutine is just being closed. */
static int
scope_wrong_exit(CancelScopeObj *self, TaskObj *current, PyObject *exc)
{
    const char *problem;

    switch (self->cs_state) {
    case SCOPE_NEW:
        problem = "This CancelScope has not been entered";
        break;
    case SCOPE_LEFT:
        problem = "This CancelScope has already been left";
        break;
    case SCOPE_DESTROYED:
        return 1;
    case SCOPE_ACTIVE:
        if (self->cs_node.host == current) {
            problem = "This CancelScope is left while a scope inside it is "
                      "still open; leave scopes in the reverse order of "
                      "their entry";
            break;
        }
        if (PyErr_GivenExceptionMatches(exc, PyExc_GeneratorExit)) {
            PyObject *is_closing = cancelscopes_attr("_is_closing");
            if (is_closing == NULL) {
                return -1;
            }
            PyObject *res = PyObject_CallOneArg(
                is_closing, (PyObject *)self->cs_node.host);
            Py_DECREF(is_closing);
            int closing = res == NULL ? -1 : PyObject_IsTrue(res);
            Py_XDECREF(res);
            if (closing != 0) {
                if (closing > 0 && self->cs_state == SCOPE_ACTIVE
                    && scope_leave(self) < 0)
                {
                    return -1;
                }
                return closing;
            }
        }
        _Py_FALLTHROUGH;
    default:
        problem = "This CancelScope was entered in another task; leave a "
                  "scope in the task that entered it (an asynchronous "
                  "generator that yields inside a scope can break this)";
        break;
    }
    if (self->cs_state == SCOPE_ACTIVE && scope_leave(self) < 0) {
        return -1;
    }
    PyErr_SetString(PyExc_RuntimeError, problem);
    return -1;
}

/* Take the cancellations out of a group and raise the rest.  Return 1 if there
   is no rest, 0 if there is nothing to take out. */
static int
scope_filter_group(CancelScopeObj *self, PyObject *group, PyObject *cancelled)
{
    PyObject *pair = PyObject_CallMethodOneArg(group, &_Py_ID(split),
                                               cancelled);
    if (pair == NULL) {
        return -1;
    }
    PyObject *matched, *rest;
    if (!PyArg_ParseTuple(pair, "OO:split", &matched, &rest)) {
        Py_DECREF(pair);
        return -1;
    }
    int res = 0;
    if (!Py_IsNone(matched)) {
        self->cs_caught = 1;
        res = 1;
        if (!Py_IsNone(rest)) {
            /* As it is: its context stays what it was. */
            PyErr_SetRaisedException(Py_NewRef(rest));
            res = -1;
        }
    }
    Py_DECREF(pair);
    return res;
}

/*[clinic input]
_asyncio.CancelScope.__exit__

    exc_type: object
    exc: object
    tb: object
    /
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope___exit___impl(CancelScopeObj *self, PyObject *exc_type,
                                   PyObject *exc, PyObject *tb)
/*[clinic end generated code: output=1d48c45debbfb22f input=49174352b414d8f3]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_CallMethodObjArgs(self->cs_twin, &_Py_ID(__exit__),
                                          exc_type, exc, tb, NULL);
    }
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    TaskObj *task = current_c_task(state);
    scope_node *node = &self->cs_node;
    int res;

    if (self->cs_state != SCOPE_ACTIVE
        || node->host != task || task->task_scope != node)
    {
        res = scope_wrong_exit(self, task, exc);
        return res < 0 ? NULL : Py_NewRef(Py_False);
    }

    /* Settled before the scope leaves the tree. */
    scope_node *outer = scope_outer_cause(node);
    bool delivered = node->delivered;
    if (scope_leave(self) < 0) {
        return NULL;
    }
    if (outer != NULL) {
        /* The error, if there is one, is the outer scope's from here on. */
        if (delivered) {
            task_note_delivery(task, outer);
        }
        Py_RETURN_FALSE;
    }
    if (!node->requested || Py_IsNone(exc)) {
        Py_RETURN_FALSE;
    }
    if (PyErr_GivenExceptionMatches(exc, state->asyncio_CancelledError)) {
        self->cs_caught = 1;
        Py_RETURN_TRUE;
    }
    if (PyObject_TypeCheck(exc,
                           (PyTypeObject *)PyExc_BaseExceptionGroup))
    {
        res = scope_filter_group(self, exc, state->asyncio_CancelledError);
        return res < 0 ? NULL : PyBool_FromLong(res);
    }
    Py_RETURN_FALSE;
}

/*[clinic input]
_asyncio.CancelScope.cancel

    msg: object = None

Cancel the scope: interrupt every await in it from now on.

*msg* goes into each CancelledError.  Only the first call counts.
Called before entry it takes effect on entry; after exit it does
nothing.  Not thread-safe: from another thread, use
loop.call_soon_threadsafe(scope.cancel).
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_cancel_impl(CancelScopeObj *self, PyObject *msg)
/*[clinic end generated code: output=7a4f1d74a4655816 input=0fe4810fb0dfcaa2]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_CallMethodOneArg(self->cs_twin, &_Py_ID(cancel), msg);
    }
    if (self->cs_node.requested
        || (self->cs_state != SCOPE_NEW && self->cs_state != SCOPE_ACTIVE))
    {
        Py_RETURN_NONE;
    }
    if (scope_check_thread(self) < 0 || scope_request(self, msg, false) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
@getter
_asyncio.CancelScope.cancel_called

True if the scope's cancel was requested or its deadline passed.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_cancel_called_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=ebda9af8593ccec3 input=0793889ee55319d6]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(cancel_called));
    }
    if (self->cs_deadline == Py_INFINITY || self->cs_node.requested) {
        return PyBool_FromLong(self->cs_node.requested);
    }
    if (self->cs_state == SCOPE_ACTIVE) {
        deadlines_remove(self);
        if (scope_arm(self) < 0) {
            return NULL;
        }
    }
    else if (self->cs_state == SCOPE_NEW && !self->cs_relative) {
        PyObject *loop = ((_PyThreadStateImpl *)_PyThreadState_GET())
            ->asyncio_running_loop;
        double now;
        if (loop != NULL) {
            if (loop_time(loop, &now) < 0) {
                return NULL;
            }
            return PyBool_FromLong(self->cs_deadline <= now);
        }
    }
    return PyBool_FromLong(self->cs_node.requested);
}

/*[clinic input]
@getter
_asyncio.CancelScope.cancelled_caught

True if the scope swallowed the CancelledError that it caused.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_cancelled_caught_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=cac33580acba9bb8 input=f1e7de11282897de]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(cancelled_caught));
    }
    return PyBool_FromLong(self->cs_caught);
}

/*[clinic input]
@getter
_asyncio.CancelScope._expired

True if it was the deadline that cancelled the scope.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__expired_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=2ebaf417d18581c7 input=7ef10a5462c79d51]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(_expired));
    }
    return PyBool_FromLong(self->cs_expired);
}

/*[clinic input]
@getter
_asyncio.CancelScope._overruled

True if the scope is cancelled from outside, visibly.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__overruled_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=5362c26725588348 input=e7c615aad74cf103]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(_overruled));
    }
    return PyBool_FromLong(scope_outer_cause(&self->cs_node) != NULL);
}

/*[clinic input]
@getter
_asyncio.CancelScope.deadline

When the scope cancels itself (loop.time() clock), or None.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_deadline_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=81bdbaaf77aaedce input=3f38ee468c25cc23]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(deadline));
    }
    return deadline_as_object(self->cs_relative ? Py_INFINITY
                                                : self->cs_deadline);
}

/*[clinic input]
@setter
_asyncio.CancelScope.deadline
[clinic start generated code]*/

static int
_asyncio_CancelScope_deadline_set_impl(CancelScopeObj *self, PyObject *value)
/*[clinic end generated code: output=a2a135fda75dbae4 input=05e1d8189f4f10da]*/
{
    double deadline;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    if (self->cs_twin != NULL) {
        return PyObject_SetAttr(self->cs_twin, &_Py_ID(deadline), value);
    }
    if (parse_deadline(value, "deadline", &deadline) < 0
        || scope_check_thread(self) < 0)
    {
        return -1;
    }
    deadlines_remove(self);
    self->cs_deadline = deadline;
    self->cs_relative = 0;
    return self->cs_state == SCOPE_ACTIVE ? scope_arm(self) : 0;
}

/*[clinic input]
@getter
_asyncio.CancelScope.shield

Whether cancellation from outside is kept away from the block.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_shield_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=0c92e2f490bd56be input=f7fb63097b422243]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(shield));
    }
    return PyBool_FromLong(self->cs_node.shield);
}

/*[clinic input]
@setter
_asyncio.CancelScope.shield
[clinic start generated code]*/

static int
_asyncio_CancelScope_shield_set_impl(CancelScopeObj *self, PyObject *value)
/*[clinic end generated code: output=34a18ce211b46b7d input=bf248c00c5cfc6f7]*/
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    if (self->cs_twin != NULL) {
        return PyObject_SetAttr(self->cs_twin, &_Py_ID(shield), value);
    }
    int shield = parse_shield(value);
    if (shield < 0 || scope_check_thread(self) < 0) {
        return -1;
    }
    self->cs_node.shield = shield;
    return self->cs_state == SCOPE_ACTIVE ? scope_update(&self->cs_node) : 0;
}

PyDoc_STRVAR(CancelScope__spawn__doc__,
"_spawn($self, create_task, /, *args, **kwargs)\n"
"--\n"
"\n"
"Call *create_task*; the task it makes hangs below this scope.\n"
"\n"
"Return the task and whether it does: a foreign kind of task does not.");

static PyObject *
CancelScope__spawn(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "_spawn() needs create_task");
        return NULL;
    }
    if (self->cs_twin != NULL) {
        PyObject *spawn = PyObject_GetAttrString(self->cs_twin, "_spawn");
        if (spawn == NULL) {
            return NULL;
        }
        PyObject *res = PyObject_Vectorcall(spawn, args, nargs, kwnames);
        Py_DECREF(spawn);
        return res;
    }
    if (self->cs_state != SCOPE_ACTIVE) {
        PyErr_SetString(PyExc_RuntimeError, "This CancelScope is not active");
        return NULL;
    }
    CancelScopeObj *outer = spawning_scope;
    spawning_scope = self;
    PyObject *task = PyObject_Vectorcall(args[0], args + 1, nargs - 1, kwnames);
    bool taken = spawning_scope == NULL;
    spawning_scope = outer;
    if (task == NULL) {
        return NULL;
    }
    return Py_BuildValue("NO", task, taken ? Py_True : Py_False);
}

static PyObject *
CancelScope_repr(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    if (self->cs_twin != NULL) {
        return PyObject_Repr(self->cs_twin);
    }
    PyObject *repr = cancelscopes_attr("_scope_repr");
    PyObject *deadline = deadline_as_object(self->cs_deadline);
    PyObject *res = NULL;
    if (repr != NULL && deadline != NULL) {
        TaskObj *host = self->cs_node.host;
        res = PyObject_CallFunction(
            repr, "sOOOOOO", scope_state_names[self->cs_state],
            self->cs_node.requested ? Py_True : Py_False,
            self->cs_caught ? Py_True : Py_False,
            self->cs_relative ? Py_None : deadline,
            self->cs_relative ? deadline : Py_None,
            self->cs_node.shield ? Py_True : Py_False,
            host == NULL ? Py_None : host->task_loop);
    }
    Py_XDECREF(repr);
    Py_XDECREF(deadline);
    return res;
}

static int
CancelScope_traverse(PyObject *op, visitproc visit, void *arg)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->cs_node.msg);
    Py_VISIT(self->cs_twin);
    Py_VISIT(self->cs_deadlines);
    if (self->cs_node.host != NULL && scope_owns_parent(&self->cs_node)) {
        Py_VISIT(scope_owner(self->cs_node.parent));
    }
    return 0;
}

static int
CancelScope_clear(PyObject *op)
{
    /* The links to other scopes are the host's to take apart. */
    CancelScopeObj *self = CancelScope_CAST(op);
    Py_CLEAR(self->cs_node.msg);
    Py_CLEAR(self->cs_twin);
    return 0;
}

static void
CancelScope_dealloc(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    PyTypeObject *tp = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    /* The host owns its scopes until it has taken them out of the tree. */
    assert(self->cs_node.host == NULL && self->cs_node.parent == NULL);
    assert(self->cs_deadlines == NULL);
    PyObject_ClearWeakRefs(op);
    (void)CancelScope_clear(op);
    tp->tp_free(self);
    Py_DECREF(tp);
}

static PyMethodDef CancelScope_methods[] = {
    _ASYNCIO_CANCELSCOPE___ENTER___METHODDEF
    _ASYNCIO_CANCELSCOPE___EXIT___METHODDEF
    _ASYNCIO_CANCELSCOPE_CANCEL_METHODDEF
    {"_spawn", _PyCFunction_CAST(CancelScope__spawn),
     METH_FASTCALL | METH_KEYWORDS, CancelScope__spawn__doc__},
    {NULL, NULL}        /* Sentinel */
};

static PyGetSetDef CancelScope_getsetlist[] = {
    _ASYNCIO_CANCELSCOPE_CANCEL_CALLED_GETSETDEF
    _ASYNCIO_CANCELSCOPE_CANCELLED_CAUGHT_GETSETDEF
    _ASYNCIO_CANCELSCOPE__EXPIRED_GETSETDEF
    _ASYNCIO_CANCELSCOPE__OVERRULED_GETSETDEF
    _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF
    _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF
    {NULL} /* Sentinel */
};

static PyType_Slot CancelScope_slots[] = {
    {Py_tp_dealloc, CancelScope_dealloc},
    {Py_tp_repr, CancelScope_repr},
    {Py_tp_doc, (void *)_asyncio_CancelScope__doc__},
    {Py_tp_traverse, CancelScope_traverse},
    {Py_tp_clear, CancelScope_clear},
    {Py_tp_methods, CancelScope_methods},
    {Py_tp_getset, CancelScope_getsetlist},
    {Py_tp_new, _asyncio_CancelScope},
    {0, NULL},
};

static PyType_Spec CancelScope_spec = {
    .name = "_asyncio.CancelScope",
    .basicsize = sizeof(CancelScopeObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MANAGED_WEAKREF),
    .slots = CancelScope_slots,
};


/* ----- Functions ----- */

/*[clinic input]
_asyncio.move_on_after

    delay: object
    *
    shield: object = False

Return a CancelScope that cancels itself *delay* seconds after entry.

The clock starts when the scope is entered.  A *delay* of None means no
deadline; one that is zero or negative has passed on entry.
[clinic start generated code]*/

static PyObject *
_asyncio_move_on_after_impl(PyObject *module, PyObject *delay,
                            PyObject *shield)
/*[clinic end generated code: output=bd1925b323042f1d input=193bea5b58a0aec5]*/
{
    double seconds;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(delay, "delay", &seconds) < 0) {
        return NULL;
    }
    CancelScopeObj *self = cancel_scope_new(get_asyncio_state(module),
                                            seconds, shielded);
    if (self != NULL) {
        self->cs_relative = seconds != Py_INFINITY;
    }
    return (PyObject *)self;
}

/*[clinic input]
_asyncio.move_on_at

    when: object
    *
    shield: object = False

Return a CancelScope that cancels itself at *when*.

*when* is in seconds on the clock of the event loop, loop.time(), or None
for no deadline.
[clinic start generated code]*/

static PyObject *
_asyncio_move_on_at_impl(PyObject *module, PyObject *when, PyObject *shield)
/*[clinic end generated code: output=8e1548f8a2d66d0d input=23bae7f8c3e0f5c5]*/
{
    double seconds;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(when, "deadline", &seconds) < 0) {
        return NULL;
    }
    return (PyObject *)cancel_scope_new(get_asyncio_state(module),
                                        seconds, shielded);
}

/*[clinic input]
_asyncio.current_effective_deadline

Return when the code that asks will be cancelled by a deadline.

That is the earliest deadline among the scopes that surround it, up to the
first shield: in seconds on the clock of the event loop, inf if there is
none, -inf if the code is cancelled already.
[clinic start generated code]*/

static PyObject *
_asyncio_current_effective_deadline_impl(PyObject *module)
/*[clinic end generated code: output=0278c96e26b0acda input=037c6d5fa6c773e4]*/
{
    TaskObj *task = current_c_task(get_asyncio_state(module));
    if (task == NULL) {
        PyObject *func = cancelscopes_attr("_py_current_effective_deadline");
        if (func == NULL) {
            return NULL;
        }
        PyObject *res = PyObject_CallNoArgs(func);
        Py_DECREF(func);
        return res;
    }
    scope_node *node = task->task_scope;
    if (node->cause != NULL) {
        return PyFloat_FromDouble(-Py_INFINITY);
    }
    double earliest = Py_INFINITY;
    while (node != NULL) {
        if (!node->is_task) {
            double deadline = CancelScope_CAST(scope_owner(node))->cs_deadline;
            earliest = Py_MIN(earliest, deadline);
        }
        node = node->shield ? NULL : node->parent;
    }
    return PyFloat_FromDouble(earliest);
}

/* ----- Module ----- */

static int
scopes_exec(PyObject *mod, asyncio_state *state)
{
    static const struct {
        PyType_Spec *spec;
        size_t offset;
    } types[] = {
        {&CancelScope_spec, offsetof(asyncio_state, CancelScopeType)},
        {&Deadlines_spec, offsetof(asyncio_state, DeadlinesType)},
    };

    llist_init(&state->deadlines);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(types); i++) {
        PyObject *type = PyType_FromMetaclass(NULL, mod, types[i].spec, NULL);
        if (type == NULL) {
            return -1;
        }
        *(PyTypeObject **)((char *)state + types[i].offset) =
            (PyTypeObject *)type;
    }
    return PyModule_AddType(mod, state->CancelScopeType);
}
