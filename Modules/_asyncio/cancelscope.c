/* The type CancelScope, and the functions around it.

   Included by _asynciomodule.c; scopes.c explains what a scope is. */

/*[clinic input]
module _asyncio
class _asyncio.CancelScope "CancelScopeObj *" "clinic_state()->CancelScopeType"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=20298a4bbfec9ac3]*/

#include "clinic/cancelscope.c.h"

/* What repr() shows; the values of cancelscopes._NEW and so on. */
static const char * const scope_state_names[] = {
    "unentered", "active", "exited",
};

/* Look up a helper in a module of the library, for what is seldom needed. */
static PyObject *
module_attr(const char *module_name, const char *name)
{
    PyObject *module = PyUnicode_InternFromString(module_name);
    PyObject *attr = module == NULL ? NULL : PyUnicode_InternFromString(name);
    PyObject *res = attr == NULL ? NULL
        : PyImport_ImportModuleAttr(module, attr);
    Py_XDECREF(module);
    Py_XDECREF(attr);
    return res;
}

static PyObject *
cancelscopes_attr(const char *name)
{
    return module_attr("asyncio.cancelscopes", name);
}

static PyObject *
cancel_debug_attr(const char *name)
{
    return module_attr("asyncio._cancel_debug", name);
}

/* Call such a helper with up to one argument. */
static PyObject *
call_helper(const char *name, PyObject *arg)
{
    PyObject *func = cancelscopes_attr(name);
    PyObject *res = func == NULL ? NULL
        : PyObject_CallFunctionObjArgs(func, arg, NULL);
    Py_XDECREF(func);
    return res;
}

static inline TaskObj *
current_c_task(asyncio_state *state)
{
    PyObject *task = ((_PyThreadStateImpl *)_PyThreadState_GET())
        ->asyncio_running_task;
    return task != NULL && Task_Check(state, task)
        && node_loop_state(&((TaskObj *)task)->task_own_scope) != NULL
        ? (TaskObj *)task : NULL;
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
cancel_scope_new(PyTypeObject *tp, double deadline, bool shield)
{
    CancelScopeObj *self = (CancelScopeObj *)tp->tp_alloc(tp, 0);
    if (self != NULL) {
#ifdef Py_GIL_DISABLED
        _PyObject_SetMaybeWeakref((PyObject *)self);    /* For try_incref(). */
#endif
        llist_init(&self->cs_node.children);
        self->cs_deadline = deadline;
        self->cs_heap_index = -1;
        self->cs_node.shield = shield;
    }
    return self;
}

/* The arguments are for __init__(), which a subclass can override. */
static PyObject *
CancelScope_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                PyObject *Py_UNUSED(kwds))
{
    return (PyObject *)cancel_scope_new(type, Py_INFINITY, false);
}

/*[clinic input]
@critical_section
_asyncio.CancelScope.__init__

    *
    deadline: object = None
    shield: object = False

A block of code that can be cancelled as one.

Use it as a plain `with`, inside a task.  Once the scope is cancelled,
every await in its block that suspends raises CancelledError, until the
block is left; there the scope swallows the error.

deadline -- when the scope cancels itself, in seconds on the clock of the
    event loop, or None.
shield -- keep cancellation that comes from outside away from the block.

Modeled on trio.CancelScope.
[clinic start generated code]*/

static int
_asyncio_CancelScope___init___impl(CancelScopeObj *self, PyObject *deadline,
                                   PyObject *shield)
/*[clinic end generated code: output=b839fc9626950d90 input=2d8e00e01dadec63]*/
{
    double when;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(deadline, "deadline", &when) < 0) {
        return -1;
    }
    if (self->cs_state != SCOPE_NEW) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This CancelScope has already been entered; it cannot "
                        "be initialized again");
        return -1;
    }
    self->cs_deadline = when;
    self->cs_relative = 0;
    self->cs_node.shield = shielded;
    return 0;
}

/* Calls of the type itself; CancelScope() needs no __init__(). */
static PyObject *
CancelScope_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf,
                       PyObject *kwnames)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs == 0 && (kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0)) {
        return (PyObject *)cancel_scope_new((PyTypeObject *)type, Py_INFINITY,
                                            false);
    }
    return _PyObject_MakeTpCall(_PyThreadState_GET(), type, args, nargs,
                                kwnames);
}

PyDoc_STRVAR(CancelScope_reduce__doc__,
"__reduce__($self, /)\n"
"--\n"
"\n");

static PyObject *
CancelScope_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *name = PyType_GetName(Py_TYPE(op));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "cannot pickle %R object", name);
        Py_DECREF(name);
    }
    return NULL;
}

/* The loop that decides if the deadline of a scope has passed: that of an
   active scope; before entry, the running one.  A new reference, or NULL. */
static PyObject *
scope_clock(CancelScopeObj *self)
{
    if (self->cs_state == SCOPE_NEW) {
        return Py_XNewRef(((_PyThreadStateImpl *)_PyThreadState_GET())
                          ->asyncio_running_loop);
    }
    return scope_loop(self);
}

/* Refuse a change that comes from another thread, in debug mode. */
static int
scope_check_thread(CancelScopeObj *self)
{
    PyObject *loop = scope_loop(self);
    if (loop == NULL) {
        return 0;
    }
    PyObject *debug = PyObject_CallMethodNoArgs(loop, &_Py_ID(get_debug));
    int res = debug == NULL ? -1 : PyObject_IsTrue(debug);
    Py_XDECREF(debug);
    if (res > 0) {
        PyObject *none = call_helper("_check_calling_loop", loop);
        res = none == NULL ? -1 : 0;
        Py_XDECREF(none);
    }
    Py_DECREF(loop);
    return res;
}

/* The deadline of a scope has passed.  Those around it that have passed by
   then as well must not come later only because the timer does: it is the
   outermost one that counts. */
static int
scope_expire_around(CancelScopeObj *self, double now, PyObject **hosts)
{
    int res = 0;
    LoopStateObj *state = node_loop_state(&self->cs_node);
    if (state == NULL || state->ls_heap_size == 0
        || state->ls_heap[0]->cs_deadline > now)
    {
        return 0;
    }
    scope_node *node = self->cs_node.parent;
    for (; node != NULL; node = node->parent) {
        CancelScopeObj *scope = node->is_task ? NULL : scope_of_node(node);
        if (scope == NULL || scope->cs_heap_index < 0
            || scope->cs_deadline > now)
        {
            continue;
        }
        deadlines_remove(scope);
        node->requested = 1;
        scope->cs_expired = 1;
        if (node->member_canceller == NULL && scope_mark(node, hosts) < 0) {
            res = -1;
        }
    }
    return res;
}

/* The request was made; by the deadline, which is not later than `now`, if
   that is not NULL.  Only the first one counts, and only until the scope is
   left. */
static int
scope_request(CancelScopeObj *self, PyObject *msg, const double *now)
{
    scope_node *node = &self->cs_node;
    PyObject *hosts = NULL;
    int res = 0;

    tree_lock(node);
    if (node->requested || self->cs_state == SCOPE_EXITED
        || (now != NULL && self->cs_deadline > *now))
    {
        tree_unlock(node);
        return 0;
    }
    node->requested = 1;
    self->cs_expired = now != NULL;
    node->msg = msg == NULL || Py_IsNone(msg) ? NULL : Py_NewRef(msg);
    deadlines_remove(self);
    /* All below a scope that is cancelled already know. */
    if (self->cs_state == SCOPE_ACTIVE && node->member_canceller == NULL) {
        res = scope_mark(node, &hosts);
    }
    if (now != NULL && scope_expire_around(self, *now, &hosts) < 0) {
        res = -1;
    }
    tree_unlock(node);
    return scope_finish_update(res, hosts);
}

/* Arm the deadline of an active scope, or expire it. */
static int
scope_arm(CancelScopeObj *self)
{
    _Py_CRITICAL_SECTION_ASSERT_OBJECT_LOCKED(self);

    scope_node *node = &self->cs_node;
    if (self->cs_deadline == Py_INFINITY) {
        return 0;
    }
    tree_lock(node);
    bool settled = node->requested && !self->cs_relative;
    tree_unlock(node);
    if (settled) {
        return 0;
    }
    PyObject *loop = scope_loop(self);
    if (loop == NULL) {
        return 0;
    }
    double now, deadline = Py_INFINITY;
    int res = loop_time(scope_module_state(self), loop, &now);
    if (res == 0) {
        /* A hostile time() may have done anything to the scope. */
        tree_lock(node);
        double delay = self->cs_deadline;
        bool relative = self->cs_relative;
        if (self->cs_state == SCOPE_ACTIVE) {
            if (relative) {
                self->cs_relative = 0;
                self->cs_deadline += now;
            }
            deadline = self->cs_deadline;
        }
        tree_unlock(node);
        if (deadline <= now) {
            res = scope_request(self, NULL, &now);
        }
        else if (deadline != Py_INFINITY) {
            res = deadlines_add(scope_module_state(self), self);
            if (res < 0 && relative) {
                tree_lock(node);
                if (self->cs_deadline == deadline) {
                    /* It counts from the next entry. */
                    self->cs_deadline = delay;
                    self->cs_relative = 1;
                }
                tree_unlock(node);
            }
        }
    }
    Py_DECREF(loop);
    return res;
}

/* The tasks right below a cancelled scope, which is about to be left, stay
   cancelled; `all`: those in the scopes below it as well. */
static void
scope_keep_cancelled(scope_node *top, bool all)
{
    for (scope_node *node = scope_next(top, top, true); node != NULL;
         node = scope_next(node, top, all && !node->is_task))
    {
        /* (It is the first request that counts: not that of this scope, below
           one that was cancelled before.) */
        if (node->is_task && !node->requested
            && node->member_canceller == top->member_canceller)
        {
            PyObject *msg = scope_msg(top->member_canceller);
            if (Py_IsNone(msg)) {
                Py_CLEAR(msg);
            }
            assert(node->host->task_inherited_msg == NULL);
            node->host->task_inherited_msg = msg;
            node->requested = 1;
        }
    }
}

/* The current scope of the task is left.  The tree is locked. */
static void
task_return_to(TaskObj *task, scope_node *outer)
{
    FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, outer);
    if (outer->canceller == NULL) {
        task_forget_cancel_sent(task);
    }
}

/* Take an active scope out of the tree; do not interrupt its host, if the
   coroutine of that is `closing`. */
static int
scope_leave(CancelScopeObj *self, bool closing)
{
    scope_node *node = &self->cs_node;
    PyObject *hosts = NULL;

    tree_lock(node);
    if (!self->cs_in_tree) {
        tree_unlock(node);      /* Another thread was faster. */
        return 0;
    }
    TaskObj *task = scope_host(node);
    scope_node *parent = node->parent;
    deadlines_remove(self);
    PyObject *token;
    ShieldMarkObj *mark = scope_take_mark(self, &token);
    PyObject *group = self->cs_group;
    self->cs_group = NULL;
    self->cs_state = SCOPE_EXITED;
    bool has_members = self->cs_members > 0;
    /* Only while it is among the scopes of its host: a wrong exit, or the
       end of a scope that was dropped, has not done so. */
    scope_hand_up_requests(node);
    if (node->host != NULL && node->host->task_scope == node) {
        task_return_to(node->host, parent);
    }
    if (node->requested && has_members) {
        scope_keep_cancelled(node, false);
    }
    PyObject *loop = Py_XNewRef(scope_loop_lock_held(self));
    PyObject *old_loop = self->cs_loop;
    self->cs_loop = NULL;
    int res = scope_detach(node, parent, &hosts);
    tree_unlock(node);
    if (mark != NULL) {
        shield_mark_remove(scope_module_state(self), mark, token);
    }
    if (task != NULL && task->task_shield_requests != NULL) {
        task_release_requests(task, false);
    }
    PyObject *error = NULL;
    if ((res < 0 || hosts != NULL) && scope_finish_update(res, hosts) < 0) {
        keep_error(&error);
    }
    /* After a wrong exit the task may be blocked in the parent now, and wait
       for members that it has no more. */
    if (!closing && task != NULL && task_interrupt(task) < 0) {
        keep_error(&error);
    }
    if (has_members && group != NULL
        && call_group(group, "_members_done", NULL, NULL) < 0
        && report_error(loop, NULL, in_group) < 0)
    {
        keep_error(&error);
    }
    Py_XDECREF(loop);
    Py_XDECREF(old_loop);
    Py_XDECREF(task);
    Py_XDECREF(group);
    return raise_kept(error);
}

/* Have the host of a scope not have entered it; what is inside it in that task
   moves up.  The tree is locked. */
static int
scope_take_from_host(scope_node *node, PyObject **hosts)
{
    TaskObj *host = node->host;
    node->host = NULL;
    if (host->task_scope == node) {
        task_return_to(host, node->parent);
        return 0;
    }
    scope_node *inner = host->task_scope;
    while (inner->parent != node) {
        inner = inner->parent;
    }
    scope_set_parent(inner, node->parent);
    return scope_mark(inner, hosts);
}

/* Return true if a scope may be left in the task, where it is not the current
   one.  If it is another task's: the scopes of timeouts and groups, except in
   what is below them; else, if only such are inside.  The tree is locked. */
static bool
scope_can_move_to(CancelScopeObj *self, TaskObj *task)
{
    scope_node *node = &self->cs_node;
    if (!self->cs_in_tree || task->task_state != STATE_PENDING
        || !scope_belongs_to(self, task->task_own_scope.loop_state))
    {
        return false;
    }
    scope_node *other = task->task_scope;
    if (node->host == task) {
        for (; other != node; other = other->parent) {
            if (!scope_of_node(other)->cs_movable) {
                return false;
            }
        }
        return true;
    }
    if (!self->cs_movable) {
        return false;
    }
    for (; other != NULL; other = other->parent) {
        if (other == node) {
            return false;
        }
    }
    return true;
}

/* Return 1 if the coroutine of the task that has entered the scope, and is not
   `task`, is being closed. */
static int
scope_is_closing(CancelScopeObj *self, TaskObj *task)
{
    if (_Py_IsInterpreterFinalizing(_PyInterpreterState_GET())) {
        return 1;       /* Nothing can be imported any more. */
    }
    tree_lock(&self->cs_node);
    TaskObj *host = self->cs_node.host;
    if (host == NULL || host == task) {
        int orphaned = self->cs_orphaned;
        tree_unlock(&self->cs_node);
        return orphaned;
    }
    bool found = try_incref((PyObject *)host);
    tree_unlock(&self->cs_node);
    if (!found) {
        return 1;       /* It is being deallocated. */
    }
    PyObject *res = call_helper("_is_closing", (PyObject *)host);
    Py_DECREF(host);
    int closing = res == NULL ? -1 : PyObject_IsTrue(res);
    Py_XDECREF(res);
    return closing;
}

/* Let an active scope be the innermost one of the current task, which is about
   to leave it.  Return 1; 0 if that is not allowed, or not necessary. */
static int
scope_move_here(CancelScopeObj *self, TaskObj *task)
{
    scope_node *node = &self->cs_node;
    PyObject *hosts = NULL;

    tree_lock(node);
    if ((node->host == task && task->task_scope == node)
        || !scope_can_move_to(self, task))
    {
        tree_unlock(node);
        return 0;
    }
    int res = 0;
    TaskObj *host = scope_host(node);
    PyObject *token = NULL;
    ShieldMarkObj *mark = NULL;
    scope_hand_up_requests(node);
    if (node->host != task) {
        mark = scope_take_mark(self, &token);
        node->delivered = node->uncancelled = 0;
        self->cs_moved = task->task_source_tb != NULL;
    }
    if (node->host != NULL) {
        res = scope_take_from_host(node, &hosts);
    }
    PyObject *loop = self->cs_loop;
    self->cs_loop = NULL;
    scope_set_parent(node, task->task_scope);
    node->host = task;
    self->cs_orphaned = 0;
    FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, node);
    if (scope_mark(node, &hosts) < 0) {
        res = -1;
    }
    tree_unlock(node);
    Py_XDECREF(loop);
    Py_XDECREF(mark);
    Py_XDECREF(token);
    PyObject *error = NULL;
    if ((res < 0 || hosts != NULL) && scope_finish_update(res, hosts) < 0) {
        keep_error(&error);
    }
    if (host != NULL && host != task) {
        Py_BEGIN_CRITICAL_SECTION(host);
        task_forget_delivery(host, node);
        Py_END_CRITICAL_SECTION();
        /* It may be blocked in the scope around this one now. */
        if (task_interrupt(host) < 0) {
            keep_error(&error);
        }
    }
    Py_XDECREF(host);
    return raise_kept(error) < 0 ? -1 : 1;
}

/* Let a root be one no more, and let go of what is below it.  Do nothing if
   it is none. */
static int
scope_unregister_root(CancelScopeObj *self)
{
    PyObject *hosts = NULL;

    tree_lock(&self->cs_node);
    if (!self->cs_is_root) {
        tree_unlock(&self->cs_node);
        return 0;
    }
    self->cs_is_root = 0;
    llist_remove(&self->cs_node.siblings);
    deadlines_remove(self);
    PyObject *group = self->cs_group;
    self->cs_group = NULL;
    PyObject *loop = self->cs_loop;
    self->cs_loop = NULL;
    self->cs_state = SCOPE_EXITED;
    int res = scope_detach(&self->cs_node, NULL, &hosts);
    tree_unlock(&self->cs_node);
    res = scope_finish_update(res, hosts);
    Py_XDECREF(loop);
    Py_XDECREF(group);
    return res;
}

/* Remember where the scope is entered, for tasks made in debug mode. */
static void
scope_note_origin(CancelScopeObj *self, TaskObj *task)
{
    PyObject *find = cancel_debug_attr("_find_origin");
    PyObject *origin = find == NULL ? NULL : PyObject_CallNoArgs(find);
    Py_XDECREF(find);
    if (origin == NULL) {
        task_report(task, "Exception in the debug report of a task");
    }
    tree_lock(&self->cs_node);
    PyObject *old = self->cs_origin;
    self->cs_origin = origin;
    tree_unlock(&self->cs_node);
    Py_XDECREF(old);
}

static PyObject *
refuse_second_entry(void)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "This CancelScope has already been entered; "
                    "make a new one for each \"with\" block");
    return NULL;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope.__enter__
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope___enter___impl(CancelScopeObj *self)
/*[clinic end generated code: output=265b5836de5f3a5c input=20e195f7d01dc7d9]*/
{
    asyncio_state *state = scope_module_state(self);
    TaskObj *task = current_c_task(state);
    scope_node *node = &self->cs_node;

    if (self->cs_state != SCOPE_NEW) {
        return refuse_second_entry();
    }
    if (task == NULL) {
        PyObject *none = call_helper("_refuse_host", NULL);
        Py_XDECREF(none);
        assert(none == NULL);
        return NULL;
    }
    LoopStateObj *loop_state = node_loop_state(&task->task_own_scope);
    PyObject *old_state = node_set_loop_state(node, loop_state);
    tree_lock(node);
    if (self->cs_state != SCOPE_NEW || node->loop_state != loop_state) {
        tree_unlock(node);      /* Another thread was faster. */
        Py_XDECREF(old_state);
        return refuse_second_entry();
    }
    self->cs_state = SCOPE_ACTIVE;
    node->host = task;
    self->cs_in_tree = 1;
    scope_attach(node, task->task_scope);
    FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, node);
    tree_unlock(node);
    Py_XDECREF(old_state);
    Py_INCREF(task);    /* What runs meanwhile can end it. */
    if (task->task_source_tb != NULL) {
        scope_note_origin(self, task);
    }
    bool failed = (node->shield && scope_add_mark(state, self, task) < 0)
        || scope_arm(self) < 0;
    Py_DECREF(task);
    if (failed) {
        PyObject *error = PyErr_GetRaisedException();
        if (scope_leave(self, false) < 0) {
            keep_error(&error);
        }
        tree_lock(node);
        self->cs_state = SCOPE_NEW;
        tree_unlock(node);
        PyErr_SetRaisedException(error);
        return NULL;
    }
    return Py_NewRef(self);
}

static void
scope_set_caught(CancelScopeObj *self)
{
    tree_lock(&self->cs_node);
    self->cs_caught = 1;
    tree_unlock(&self->cs_node);
}

/* Take the cancellations out of an exception group and raise the
   rest.  Return 1 if there is no rest, 0 if there is nothing to take out. */
static int
scope_filter_group(CancelScopeObj *self, PyObject *group)
{
    PyObject *rest = call_helper("_without_cancellations", group);
    if (rest == NULL) {
        return -1;
    }
    if (rest == group) {
        Py_DECREF(rest);
        return 0;
    }
    scope_set_caught(self);
    if (Py_IsNone(rest)) {
        return 1;
    }
    /* As it is: its context stays what it was. */
    PyErr_SetRaisedException(rest);
    return -1;
}

/* Warn that a scope, which has just been left, had to be moved for that. */
static int
scope_warn_moved(CancelScopeObj *self, bool is_group, PyObject *exc)
{
    PyObject *warn = cancel_debug_attr("_warn_moved");
    PyObject *res = warn == NULL ? NULL : PyObject_CallFunctionObjArgs(
        warn, is_group ? Py_True : Py_False,
        self->cs_origin == NULL ? Py_None : self->cs_origin, exc, NULL);
    Py_XDECREF(warn);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Leave the scope, which is the current one of the task, or NULL where a scope
   that may be left anywhere is left outside the tasks of its tree. */
static PyObject *
scope_exit(CancelScopeObj *self, asyncio_state *state, TaskObj *task,
           PyObject *exc)
{
    scope_node *node = &self->cs_node;

    /* Settled before the scope leaves the tree. */
    tree_lock(node);
    scope_node *outer = scope_outer_canceller(node);
    bool parent_cancelled = scope_hand_up_requests(node) != NULL
        || outer != NULL;
    if (outer != NULL && node->interrupted && !outer->is_task) {
        /* What the scope has interrupted is the outer one's as well. */
        outer->interrupted = 1;
    }
    bool delivered = node->delivered;
    bool requested = node->requested;
    tree_unlock(node);
    if (task != NULL && task->task_source_tb != NULL) {
        Py_BEGIN_CRITICAL_SECTION(task);
        task_forget_delivery(task, node);
        Py_END_CRITICAL_SECTION();
    }
    if (scope_leave(self, false) < 0) {
        return NULL;
    }
    if (parent_cancelled) {
        /* The error, if there is one, is the outer scope's from here on. */
        if (delivered && task != NULL) {
            task_note_delivery(task);
        }
        Py_RETURN_FALSE;
    }
    if (!requested || Py_IsNone(exc)) {
        Py_RETURN_FALSE;
    }
    if (PyErr_GivenExceptionMatches(exc, state->asyncio_CancelledError)) {
        scope_set_caught(self);
        Py_RETURN_TRUE;
    }
    if (PyObject_TypeCheck(exc, (PyTypeObject *)PyExc_BaseExceptionGroup)) {
        int res = scope_filter_group(self, exc);
        return res < 0 ? NULL : PyBool_FromLong(res);
    }
    Py_RETURN_FALSE;
}

/* Return 1 if there is a current task, of whatever kind. */
static int
is_in_task(void)
{
    PyThreadState *tstate = _PyThreadState_GET();
    if (((_PyThreadStateImpl *)tstate)->asyncio_running_loop == NULL) {
        return 0;
    }
    PyObject *task = call_helper("_current_task", NULL);
    int res = task == NULL ? -1 : !Py_IsNone(task);
    Py_XDECREF(task);
    return res;
}

/* Prepare to leave a scope that is not the current one of the task, which
   is NULL if no task of this tree is current.  Return 1 if it can be left
   now in the task, 2 if it can be left outside of it.  0: it has to be taken
   out of the tree, silently or with what is wrong in *problem. */
static int
scope_prepare_exit(CancelScopeObj *self, TaskObj *task, PyObject *exc,
                   const char **problem)
{
    tree_lock(&self->cs_node);
    scope_state life = self->cs_state;
    bool is_root = self->cs_is_root;
    bool has_host = self->cs_node.host != NULL;
    bool here = task != NULL && self->cs_node.host == task;
    tree_unlock(&self->cs_node);

    *problem = life == SCOPE_NEW ? "This CancelScope has not been entered"
        : life == SCOPE_EXITED ? "This CancelScope has already been left"
        : NULL;
    if (life == SCOPE_EXITED && !has_host
        && PyErr_GivenExceptionMatches(exc, PyExc_GeneratorExit))
    {
        *problem = NULL;        /* Taken out of the tree before. */
    }
    if (*problem != NULL || life == SCOPE_EXITED) {
        return 0;
    }
    if (is_root) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot exit the root cancel scope");
        return -1;
    }
    int inside = task != NULL ? 1 : is_in_task();
    if (inside < 0) {
        return -1;
    }
    int closing = !has_host && !inside;
    if (PyErr_GivenExceptionMatches(exc, PyExc_GeneratorExit)) {
        /* (A block that was given up is left by the task that closes it.) */
        closing = has_host || (self->cs_movable && task != NULL)
            ? scope_is_closing(self, task) : 1;
    }
    if (closing != 0) {
        return closing < 0 ? -1 : 0;
    }
    if (task != NULL && (self->cs_movable || here)) {
        int moved = scope_move_here(self, task);
        if (moved != 0) {
            return moved;
        }
    }
    if (here) {
        *problem = "This CancelScope is left while a scope inside it is still "
                   "open; leave scopes in the reverse order of their entry";
        return 0;
    }
    if (self->cs_movable && inside) {
        return 2;
    }
    *problem = "This CancelScope was entered in another task; leave a scope "
               "in the task that entered it (an asynchronous generator that "
               "yields inside a scope can break this)";
    return 0;
}

/* __exit__(), where `task` is the current one, or NULL. */
static PyObject *
scope_exit_in(CancelScopeObj *self, TaskObj *task, PyObject *exc)
{
    scope_node *node = &self->cs_node;
    asyncio_state *state = scope_module_state(self);

    tree_lock(node);
    bool is_right = self->cs_in_tree
        && task != NULL && node->host == task && task->task_scope == node;
    bool is_group = self->cs_group != NULL;
    tree_unlock(node);
    if (!is_right) {
        const char *problem;
        int ready = scope_prepare_exit(self, task, exc, &problem);
        if (ready < 0
            || (ready == 0 && scope_leave(self, problem == NULL) < 0))
        {
            return NULL;
        }
        if (ready == 0) {
            if (problem != NULL) {
                PyErr_SetString(PyExc_RuntimeError, problem);
                return NULL;
            }
            Py_RETURN_FALSE;
        }
        if (ready == 2) {
            task = NULL;
        }
    }
    PyObject *res = scope_exit(self, state, task, exc);
    if (self->cs_moved) {
        PyObject *error = PyErr_GetRaisedException();
        if (scope_warn_moved(self, is_group, exc) == 0) {
            PyErr_SetRaisedException(error);
        }
        else if (error != NULL) {
            PyErr_SetRaisedException(error);    /* It counts more. */
        }
        else {
            Py_CLEAR(res);
        }
    }
    return res;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope.__exit__

    exc_type: object
    exc: object
    tb: object
    /
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope___exit___impl(CancelScopeObj *self, PyObject *exc_type,
                                   PyObject *exc, PyObject *tb)
/*[clinic end generated code: output=1d48c45debbfb22f input=0dc83370f523ac6d]*/
{
    /* What runs meanwhile can make another task the current one. */
    TaskObj *task = (TaskObj *)Py_XNewRef(
        current_c_task(scope_module_state(self)));
    PyObject *res = scope_exit_in(self, task, exc);
    Py_XDECREF(task);
    return res;
}

/*[clinic input]
@critical_section
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
/*[clinic end generated code: output=7a4f1d74a4655816 input=ee3e09dd3506ad6d]*/
{
    tree_lock(&self->cs_node);
    bool counts = !self->cs_node.requested && self->cs_state != SCOPE_EXITED;
    tree_unlock(&self->cs_node);
    if (counts && (scope_check_thread(self) < 0
                   || scope_request(self, msg, NULL) < 0))
    {
        return NULL;
    }
    Py_RETURN_NONE;
}

static const char scope_not_active[] =
    "This CancelScope is not active; it takes tasks inside its \"with\" block "
    "only";

/* A task that has become a member of a group is awaited by its host. */
static int
scope_note_awaiter(CancelScopeObj *self, asyncio_state *state, TaskObj *task)
{
    /* A task's __hash__() may do anything, also to the tree. */
    scope_node *own = &task->task_own_scope;
    PyObject *host = NULL;
    int res = 0;
    tree_lock(own);
    if (own->is_member && own->parent == &self->cs_node
        && self->cs_group != NULL)
    {
        host = (PyObject *)scope_host(&self->cs_node);
    }
    tree_unlock(own);
    if (host != NULL) {
        Py_BEGIN_CRITICAL_SECTION(task);
        res = future_awaited_by_add(state, (FutureObj *)task, host);
        Py_END_CRITICAL_SECTION();
        Py_DECREF(host);
    }
    return res;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope.adopt

    task: object
    /

Move *task*, with all that is below it, to below this scope.

From now on it is cancelled with this scope, and no more with what it
was below; if it was a member of a group, that does not wait for it any
more.  Raise RuntimeError, and move nothing, if the scope is not active,
if the task is done or belongs to another event loop, or if the scope is
inside the task.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_adopt_impl(CancelScopeObj *self, PyObject *task)
/*[clinic end generated code: output=78361556968b9939 input=3247afa82a04d76e]*/
{
    asyncio_state *state = scope_module_state(self);
    if (self->cs_state != SCOPE_ACTIVE) {
        PyErr_SetString(PyExc_RuntimeError, scope_not_active);
        return NULL;
    }
    if (!Task_Check(state, task)
        || node_loop_state(&((TaskObj *)task)->task_own_scope) == NULL)
    {
        return PyErr_Format(PyExc_TypeError,
                            "adopt() takes an asyncio.Task, not %T", task);
    }
    if (scope_check_thread(self) < 0) {
        return NULL;
    }
    TaskObj *moved = (TaskObj *)task;
    const char *problem = NULL;
    if (self->cs_state != SCOPE_ACTIVE) {
        problem = scope_not_active;
    }
    else if (moved->task_state != STATE_PENDING) {
        problem = "The task is done";
    }
    else if (moved->task_own_scope.loop_state != self->cs_node.loop_state) {
        problem = "The task belongs to another event loop than this "
                  "CancelScope";
    }
    else {
        int res = task_move(moved, self);
        if (res < 0 || (res == 0
                        && scope_note_awaiter(self, state, moved) < 0))
        {
            return NULL;
        }
        if (res > 0) {
            problem = "This CancelScope is inside the task, which cannot be "
                      "below it";
        }
    }
    if (problem != NULL) {
        PyErr_SetString(PyExc_RuntimeError, problem);
        return NULL;
    }
    Py_RETURN_NONE;
}


/* ----- Spawning ----- */

static int
parse_errors(PyObject *obj, task_errors_mode *errors)
{
    if (Py_IsNone(obj)) {
        *errors = ERRORS_RETRIEVED;
    }
    else if (PyUnicode_Check(obj)
             && PyUnicode_EqualToUTF8(obj, "propagate"))
    {
        *errors = ERRORS_PROPAGATE;
    }
    else if (PyUnicode_Check(obj) && PyUnicode_EqualToUTF8(obj, "log")) {
        *errors = ERRORS_LOG;
    }
    else {
        PyErr_Format(PyExc_ValueError, "errors must be \"propagate\", \"log\" "
                     "or None, not %R", obj);
        return -1;
    }
    return 0;
}

static PyObject *
errors_as_object(task_errors_mode errors)
{
    if (errors == ERRORS_RETRIEVED) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(errors == ERRORS_LOG ? "log" : "propagate");
}

/* Set what becomes of the exception of a task that is not done. */
static int
task_set_errors(asyncio_state *state, PyObject *task, task_errors_mode errors)
{
    if (Task_Check(state, task)) {
        Py_BEGIN_CRITICAL_SECTION(task);
        ((TaskObj *)task)->task_errors = errors;
        Py_END_CRITICAL_SECTION();
        return 0;
    }
    PyObject *set_errors = cancelscopes_attr("_set_errors");
    PyObject *mode = errors_as_object(errors);
    PyObject *none = set_errors == NULL || mode == NULL ? NULL
        : PyObject_CallFunctionObjArgs(set_errors, task, mode, NULL);
    Py_XDECREF(set_errors);
    Py_XDECREF(mode);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

/* Call args[1]() with the rest of the arguments for a task below `scope`,
   which can be one of a pure-Python tree, or below the root of its loop if
   that is NULL; args[0] is what becomes of its exception.  *claimed tells if
   the task that is returned is the one that claimed these. */
static PyObject *
spawn(asyncio_state *state, PyObject *scope, PyObject *const *args,
      Py_ssize_t nargs, PyObject *kwnames, bool *claimed)
{
    spawning_slot slot = {.state = state, .scope = scope};
    if (nargs < 2) {
        PyErr_SetString(PyExc_TypeError, "errors and create_task are needed");
        return NULL;
    }
    if (parse_errors(args[0], &slot.errors) < 0) {
        return NULL;
    }
    spawning_slot *outer = spawning;
    spawning = &slot;
    PyObject *task = PyObject_Vectorcall(args[1], args + 2, nargs - 2,
                                         kwnames);
    spawning = outer;

    *claimed = task != NULL && task == slot.claimed_by && !slot.refused;
    if (task != NULL && task != slot.claimed_by) {
        /* The factory has wrapped a task, or has made another one first.  What
           it has returned is an external task to the scope. */
        if ((slot.claimed_by != NULL
             && task_set_errors(state, slot.claimed_by, ERRORS_RETRIEVED) < 0)
            || task_set_errors(state, task,
                               scope == NULL ? slot.errors
                                             : ERRORS_RETRIEVED) < 0)
        {
            Py_CLEAR(task);
        }
    }
    Py_XDECREF(slot.claimed_by);
    return task;
}

PyDoc_STRVAR(CancelScope__spawn__doc__,
"_spawn($self, errors, create_task, /, *args, **kwargs)\n"
"--\n"
"\n"
"Call *create_task*; the task it makes hangs below this scope.\n"
"\n"
"An external task cannot; it is given to the group.  For *errors* see\n"
"_spawn_background().");

static PyObject *
CancelScope__spawn(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    PyObject *loop = scope_loop(self);
    if (loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, scope_not_active);
        return NULL;
    }
    asyncio_state *state = scope_module_state(self);
    bool claimed;
    PyObject *task = spawn(state, op, args, nargs, kwnames, &claimed);
    int res = 0;
    if (task != NULL && claimed) {
        res = scope_note_awaiter(self, state, (TaskObj *)task);
    }
    else if (task != NULL) {
        PyObject *add = cancelscopes_attr("_add_external");
        PyObject *none = add == NULL ? NULL : PyObject_CallFunctionObjArgs(
            add, op, loop, task, args[0], NULL);
        Py_XDECREF(add);
        Py_XDECREF(none);
        res = none == NULL ? -1 : 0;
    }
    Py_DECREF(loop);
    if (res < 0) {
        Py_CLEAR(task);
    }
    return task;
}

PyDoc_STRVAR(CancelScope_create_task__doc__,
"create_task($self, coro, *, name=None, context=None, eager_start=None, "
"errors=\'await\')\n"
"--\n"
"\n"
"Spawn a task below this scope and return it.\n"
"\n"
"It is cancelled with the scope, and not waited for: when the scope is\n"
"left, a task that is not done moves up to the scope around it, and stays\n"
"cancelled if the scope was.\n"
"\n"
"By default its exception is raised where the task is awaited, and logged\n"
"if the task is collected before.  With errors=\"propagate\" the group of\n"
"the nearest enclosing scope that has one gets it, with errors=\"log\" the\n"
"exception handler of the loop.  The other arguments are those of\n"
"loop.create_task().\n"
"\n"
"Raise RuntimeError, and close the coroutine, if the scope is not active.");

/* Do what create_task(coro, ...) does; or return NULL without an exception
   if asyncio.cancelscopes has to do it: the arguments are unusual, or the
   scope is not active. */
static PyObject *
scope_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    /* name, context, eager_start. */
    PyObject *stack[2 + 1 + 3];
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs != 1 || count > 3) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (Py_IsNone(args[1 + i])
            || (key != &_Py_ID(name) && key != &_Py_ID(context)
                && key != &_Py_ID(eager_start)))
        {
            return NULL;
        }
        stack[3 + i] = args[1 + i];
    }
    PyObject *loop = scope_loop(self);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *create_task = PyObject_GetAttr(loop, &_Py_ID(create_task));
    Py_DECREF(loop);
    if (create_task == NULL) {
        return NULL;
    }
    stack[0] = Py_None;  /* The awaiter of the task gets its exception. */
    stack[1] = create_task;
    stack[2] = args[0];
    PyObject *task = CancelScope__spawn(op, stack, 3, kwnames);
    Py_DECREF(create_task);
    return task;
}

static PyObject *
CancelScope_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    PyObject *res = scope_create_task(op, args, nargs, kwnames);
    if (res != NULL || PyErr_Occurred()) {
        return res;
    }
    PyObject *create = cancelscopes_attr("_create_task_below");
    if (create == NULL) {
        return NULL;
    }
    PyObject *bound = PyMethod_New(create, op);
    Py_DECREF(create);
    if (bound != NULL) {
        res = PyObject_Vectorcall(bound, args, nargs, kwnames);
        Py_DECREF(bound);
    }
    return res;
}


/* ----- For groups ----- */

/*[clinic input]
@critical_section
_asyncio.CancelScope._move_here

Make the current task the host of this scope, which it is about to leave.

That is for the scopes of timeouts and groups, whose block can be
entered in another task.  Return whether it has been moved.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__move_here_impl(CancelScopeObj *self)
/*[clinic end generated code: output=f544ed48862be359 input=7cb5e53a37534c99]*/
{
    TaskObj *task = current_c_task(scope_module_state(self));
    int moved = 0;
    if (task != NULL) {
        Py_INCREF(task);
        int closing = scope_is_closing(self, task);
        moved = closing != 0 ? Py_MIN(closing, 0)
                             : scope_move_here(self, task);
        Py_DECREF(task);
    }
    return moved < 0 ? NULL : PyBool_FromLong(moved);
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._members

Return a list of the tasks right below this scope that are not done.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__members_impl(CancelScopeObj *self)
/*[clinic end generated code: output=d516aa99f87c1d18 input=8f6d028df2934e43]*/
{
    PyObject *tasks = PyList_New(0);
    if (tasks == NULL) {
        return NULL;
    }
    int res = 0;
    tree_lock(&self->cs_node);
    struct llist_node *node;
    llist_for_each(node, &self->cs_node.children) {
        scope_node *child = llist_data(node, scope_node, siblings);
        if (child->is_member && hosts_append(&tasks, child->host) < 0) {
            res = -1;
            break;
        }
    }
    tree_unlock(&self->cs_node);
    if (res < 0) {
        Py_CLEAR(tasks);
    }
    return tasks;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._watch

Have the group cancel its external tasks when this is cancelled.

If it is, return the message in a tuple.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__watch_impl(CancelScopeObj *self)
/*[clinic end generated code: output=8baab9b050f42cba input=e163a647121fbaf7]*/
{
    tree_lock(&self->cs_node);
    self->cs_watched = 1;
    scope_node *canceller = self->cs_node.member_canceller;
    PyObject *msg = canceller == NULL ? NULL : scope_msg(canceller);
    tree_unlock(&self->cs_node);
    if (msg == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(N)", msg);
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._register_root

    loop: object
    /

Become the root of the tree of *loop*.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__register_root_impl(CancelScopeObj *self,
                                         PyObject *loop)
/*[clinic end generated code: output=34621c277d3a50d5 input=e0746075d1ce7eb4]*/
{
    scope_node *node = &self->cs_node;
    PyObject *origin = PyUnicode_FromString(
        "entered by asyncio.run()");
    if (origin == NULL) {
        return NULL;
    }
    LoopStateObj *loop_state = loop_state_of(scope_module_state(self), loop);
    if (loop_state == NULL) {
        Py_DECREF(origin);
        return NULL;
    }
    PyObject *old_state = node_set_loop_state(node, loop_state);
    tree_lock(node);
    bool is_new = self->cs_state == SCOPE_NEW
        && node->loop_state == loop_state;
    if (is_new) {
        self->cs_state = SCOPE_ACTIVE;
        self->cs_is_root = 1;
        self->cs_loop = Py_NewRef(loop);
        scope_attach(node, NULL);
        llist_insert_tail(&loop_state->ls_roots, &node->siblings);
        PyObject *old_origin = self->cs_origin;
        self->cs_origin = origin;
        origin = old_origin;
    }
    tree_unlock(node);
    Py_XDECREF(origin);
    Py_XDECREF(old_state);
    Py_DECREF(loop_state);
    if (!is_new) {
        PyErr_SetString(PyExc_RuntimeError, "only a new scope can be a root");
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._unregister_root

Unregister this root and detach what is below it.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__unregister_root_impl(CancelScopeObj *self)
/*[clinic end generated code: output=707162adb17c1ce1 input=861e2aea8761da5b]*/
{
    if (scope_unregister_root(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._disable_shields

Clear all shields below this root.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__disable_shields_impl(CancelScopeObj *self)
/*[clinic end generated code: output=399179c44d8df797 input=3e41ce5764011afa]*/
{
    PyObject *hosts = NULL;
    int res = 0;
    tree_lock(&self->cs_node);
    if (self->cs_is_root) {
        res = scope_disable_shields(&self->cs_node, &hosts);
    }
    tree_unlock(&self->cs_node);
    if (scope_finish_update(res, hosts) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}


/* ----- Attributes ----- */

/* The attributes that only read one bit. */
enum scope_flag {
    CANCELLED_CAUGHT,
    CANCELS_TASKS,
    DEADLINE_EXPIRED,
    HAS_INTERRUPTED,
    PARENT_CANCELLED,
    SHIELD,
};

static PyObject *
CancelScope_get_flag(PyObject *op, void *closure)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    scope_node *node = &self->cs_node;
    bool flag = false;
    Py_BEGIN_CRITICAL_SECTION(op);
    tree_lock(node);
    switch ((enum scope_flag)(uintptr_t)closure) {
    case CANCELLED_CAUGHT:
        flag = self->cs_caught;
        break;
    case CANCELS_TASKS:
        flag = node->member_canceller != NULL;
        break;
    case DEADLINE_EXPIRED:
        flag = self->cs_expired;
        break;
    case HAS_INTERRUPTED:
        flag = node->interrupted;
        break;
    case PARENT_CANCELLED:
        flag = node->host_requested || scope_outer_canceller(node) != NULL;
        break;
    case SHIELD:
        flag = node->shield;
        break;
    }
    tree_unlock(node);
    Py_END_CRITICAL_SECTION();
    return PyBool_FromLong(flag);
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope.cancel_called

True if the scope's cancel was requested or its deadline passed.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_cancel_called_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=ebda9af8593ccec3 input=56b63e3df96cca78]*/
{
    tree_lock(&self->cs_node);
    bool requested = self->cs_node.requested;
    double deadline = self->cs_relative ? Py_INFINITY : self->cs_deadline;
    tree_unlock(&self->cs_node);
    PyObject *loop = NULL;
    if (!requested && deadline != Py_INFINITY) {
        loop = scope_clock(self);
    }
    if (loop != NULL) {
        double now;
        int res = loop_time(scope_module_state(self), loop, &now);
        Py_DECREF(loop);
        /* Once this has returned true it must not go back to false. */
        if (res < 0 || scope_request(self, NULL, &now) < 0) {
            return NULL;
        }
        tree_lock(&self->cs_node);
        requested = self->cs_node.requested;
        tree_unlock(&self->cs_node);
    }
    return PyBool_FromLong(requested);
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope.cancel_message

The message of the request that cancelled the scope, or None.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_cancel_message_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=3aea8b7ab254eeca input=b8631f6dd034185e]*/
{
    tree_lock(&self->cs_node);
    PyObject *msg = scope_msg(&self->cs_node);
    tree_unlock(&self->cs_node);
    return msg;
}

/* Return true if the scope is effectively cancelled, whatever the time is.
   Otherwise set *deadline to the earliest one by which it will be. */
static bool
scope_is_cancelled(CancelScopeObj *self, double *deadline)
{
    *deadline = Py_INFINITY;
    tree_lock(&self->cs_node);
    bool cancelled = self->cs_node.canceller != NULL
        || self->cs_node.requested;
    scope_node *node = cancelled ? NULL : &self->cs_node;
    while (node != NULL) {
        if (!node->is_task) {
            CancelScopeObj *scope = scope_of_node(node);
            if (!scope->cs_relative && scope->cs_deadline < *deadline) {
                *deadline = scope->cs_deadline;
            }
        }
        node = node->shield ? NULL : node->parent;
    }
    tree_unlock(&self->cs_node);
    return cancelled;
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope.effectively_cancelled

True if the scope is cancelled, by itself or from outside.

That is, if its own cancel was requested or its deadline has passed, or
if it is not shielded and what surrounds it is effectively cancelled.
Before entry and after exit only the scope itself counts.  Can be read
from any thread.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_effectively_cancelled_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=00d57363de8500d4 input=0192ba24501df475]*/
{
    /* Changes nothing, for it may be asked from any thread. */
    double deadline;
    if (scope_is_cancelled(self, &deadline)) {
        Py_RETURN_TRUE;
    }
    PyObject *loop = deadline == Py_INFINITY ? NULL : scope_clock(self);
    if (loop == NULL) {
        Py_RETURN_FALSE;
    }
    /* The timer of a scope may be late. */
    double now;
    int res = loop_time(scope_module_state(self), loop, &now);
    Py_DECREF(loop);
    if (res < 0) {
        return NULL;
    }
    /* Look again: time() may have done anything. */
    return PyBool_FromLong(scope_is_cancelled(self, &deadline)
                           || deadline <= now);
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope.deadline

When the scope cancels itself (loop.time() clock), or None.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_deadline_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=81bdbaaf77aaedce input=0384e629f51f388a]*/
{
    tree_lock(&self->cs_node);
    double deadline = self->cs_relative ? Py_INFINITY : self->cs_deadline;
    tree_unlock(&self->cs_node);
    return deadline_as_object(deadline);
}

static int
cannot_delete(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
    }
    return value == NULL;
}

/*[clinic input]
@critical_section
@setter
_asyncio.CancelScope.deadline
[clinic start generated code]*/

static int
_asyncio_CancelScope_deadline_set_impl(CancelScopeObj *self, PyObject *value)
/*[clinic end generated code: output=a2a135fda75dbae4 input=72186d13206a37d0]*/
{
    double deadline;
    if (cannot_delete(value)
        || parse_deadline(value, "deadline", &deadline) < 0
        || scope_check_thread(self) < 0)
    {
        return -1;
    }
    tree_lock(&self->cs_node);
    deadlines_remove(self);
    self->cs_deadline = deadline;
    self->cs_relative = 0;
    bool is_active = self->cs_state == SCOPE_ACTIVE;
    tree_unlock(&self->cs_node);
    return is_active ? scope_arm(self) : 0;
}

static int
CancelScope_set_shield_lock_held(CancelScopeObj *self, PyObject *value)
{
    int shield = cannot_delete(value) ? -1 : parse_shield(value);
    if (shield < 0 || scope_check_thread(self) < 0) {
        return -1;
    }
    asyncio_state *state = scope_module_state(self);
    scope_node *node = &self->cs_node;
    PyObject *hosts = NULL;
    TaskObj *host = NULL;
    int res = 0;

    tree_lock(node);
    node->shield = shield;
    if (self->cs_state == SCOPE_ACTIVE) {
        host = scope_host(node);
        res = scope_mark(node, &hosts);
    }
    bool needs_mark = shield && self->cs_mark == NULL;
    tree_unlock(node);
    res = scope_finish_update(res, hosts);
    if (res == 0 && needs_mark && host != NULL
        && host == current_c_task(state))
    {
        res = scope_add_mark(state, self, host);
    }
    if (res == 0 && host != NULL) {
        /* For an edge-triggered request, no scope has become cancelled. */
        res = task_interrupt(host);
    }
    Py_XDECREF(host);
    return res;
}

static int
CancelScope_set_shield(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    int res;
    Py_BEGIN_CRITICAL_SECTION(op);
    res = CancelScope_set_shield_lock_held(CancelScope_CAST(op), value);
    Py_END_CRITICAL_SECTION();
    return res;
}

/* The group that a scope refers to; None if `scope` is NULL. */
static PyObject *
scope_group_or_none(CancelScopeObj *scope)
{
    PyObject *group = NULL;
    if (scope != NULL) {
        tree_lock(&scope->cs_node);
        PyObject *ref = Py_XNewRef(scope->cs_group);
        tree_unlock(&scope->cs_node);
        group = resolve_group(ref);
        Py_XDECREF(ref);
    }
    return group == NULL ? Py_NewRef(Py_None) : group;
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._group

The group, which is told what becomes of the members, or None.

A weak reference can be assigned: then the scope does not keep it alive.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__group_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=a992aa1a363d9725 input=ed7e60809424daa9]*/
{
    return scope_group_or_none(self);
}

/*[clinic input]
@critical_section
@setter
_asyncio.CancelScope._group
[clinic start generated code]*/

static int
_asyncio_CancelScope__group_set_impl(CancelScopeObj *self, PyObject *value)
/*[clinic end generated code: output=6574b839ace5c47f input=b1fe018f52e5e3ea]*/
{
    if (cannot_delete(value)) {
        return -1;
    }
    tree_lock(&self->cs_node);
    PyObject *old = self->cs_group;
    self->cs_group = Py_IsNone(value) ? NULL : Py_NewRef(value);
    tree_unlock(&self->cs_node);
    Py_XDECREF(old);
    return 0;
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._outer_group

The group of the nearest scope around this one that has one, or None.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__outer_group_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=fc52baa59c3021eb input=540ee72a719f480b]*/
{
    tree_lock(&self->cs_node);
    CancelScopeObj *scope = scope_find_group(self->cs_node.parent);
    tree_unlock(&self->cs_node);
    PyObject *group = scope_group_or_none(scope);
    Py_XDECREF(scope);
    return group;
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._loop

The event loop of the scope while it is active, else None.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__loop_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=e85103d1d1034099 input=f193e1e591c3852a]*/
{
    PyObject *loop = scope_loop(self);
    return loop == NULL ? Py_NewRef(Py_None) : loop;
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._member_count

The number of tasks right below this scope that are not done.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__member_count_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=05bb853578ad4ba8 input=9898d45919ca147e]*/
{
    tree_lock(&self->cs_node);
    Py_ssize_t members = self->cs_members;
    tree_unlock(&self->cs_node);
    return PyLong_FromSsize_t(members);
}


/* ----- The type ----- */

static PyObject *
scope_repr_lock_held(CancelScopeObj *self)
{
    _Py_CRITICAL_SECTION_ASSERT_OBJECT_LOCKED(self);

    PyObject *repr = cancelscopes_attr("_scope_repr");
    if (repr == NULL) {
        return NULL;
    }
    tree_lock(&self->cs_node);
    PyObject *loop = self->cs_in_tree
        ? Py_XNewRef(scope_loop_lock_held(self)) : NULL;
    const char *life = scope_state_names[self->cs_state];
    bool requested = self->cs_node.requested;
    bool caught = self->cs_caught;
    double when = self->cs_deadline;
    bool relative = self->cs_relative;
    bool shield = self->cs_node.shield;
    tree_unlock(&self->cs_node);
    PyObject *res = NULL;
    PyObject *deadline = deadline_as_object(when);
    if (deadline != NULL) {
        res = PyObject_CallFunction(
            repr, "sOOOOOO", life,
            requested ? Py_True : Py_False,
            caught ? Py_True : Py_False,
            relative ? Py_None : deadline,
            relative ? deadline : Py_None,
            shield ? Py_True : Py_False,
            loop == NULL ? Py_None : loop);
        Py_DECREF(deadline);
    }
    Py_XDECREF(loop);
    Py_DECREF(repr);
    return res;
}

static PyObject *
CancelScope_repr(PyObject *op)
{
    PyObject *res;
    Py_BEGIN_CRITICAL_SECTION(op);
    res = scope_repr_lock_held(CancelScope_CAST(op));
    Py_END_CRITICAL_SECTION();
    return res;
}

/* Return true if it is in the tree of a loop that has a root. */
static bool
scope_is_rooted(scope_node *node)
{
    while (node->parent != NULL) {
        node = node->parent;
    }
    return !node->is_task && scope_of_node(node)->cs_is_root;
}

/* Return true if the scope is in the tree although its task has ended. */
static bool
scope_is_abandoned(CancelScopeObj *self)
{
    return self->cs_in_tree && self->cs_node.host == NULL;
}

static int
CancelScope_traverse(PyObject *op, visitproc visit, void *arg)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->cs_node.msg);
    Py_VISIT(self->cs_node.loop_state);
    Py_VISIT(self->cs_loop);
    Py_VISIT(self->cs_group);
    Py_VISIT(self->cs_mark_token);
    /* Below a root, the tasks of a scope that goes away move up: they are no
       garbage with it. */
    if (self->cs_members > 0
        && !(scope_is_abandoned(self) && scope_is_rooted(&self->cs_node)))
    {
        struct llist_node *node;
        llist_for_each(node, &self->cs_node.children) {
            scope_node *child = llist_data(node, scope_node, siblings);
            if (child->is_member) {
                Py_VISIT(child->host);
            }
        }
    }
    return 0;
}

/* The scope goes away while it is active.  It must not stay in the tree, where
   it would be in the way of its host.  Keeps the current exception. */
static void
scope_drop(CancelScopeObj *self)
{
    PyObject *exc = PyErr_GetRaisedException();
    tree_lock(&self->cs_node);
    if (self->cs_in_tree && self->cs_node.requested) {
        /* The scopes inside it may go away before or after it. */
        scope_keep_cancelled(&self->cs_node, true);
    }
    tree_unlock(&self->cs_node);
    int res = self->cs_is_root ? scope_unregister_root(self)
                               : scope_leave(self, false);
    if (res < 0) {
        PyErr_FormatUnraisable("Exception ignored while %R went away", self);
    }
    PyErr_SetRaisedException(exc);
}

static int
CancelScope_clear(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    scope_node *node = &self->cs_node;
    tree_lock(node);
    bool is_abandoned = scope_is_abandoned(self);
    tree_unlock(node);
    if (is_abandoned) {
        scope_drop(self);
    }
    tree_lock(node);
    PyObject *msg = node->msg, *group = self->cs_group;
    PyObject *origin = self->cs_origin;
    node->msg = self->cs_group = self->cs_origin = NULL;
    while (self->cs_members > 0) {
        /* They go to the end of the line, with what is no member. */
        scope_node *child = llist_data(node->children.next,
                                       scope_node, siblings);
        llist_remove(&child->siblings);
        llist_insert_tail(&node->children, &child->siblings);
        if (child->is_member) {
            child->is_member = 0;
            self->cs_members--;
            TaskObj *host = child->host;
            tree_unlock(node);
            Py_DECREF(host);
            tree_lock(node);
        }
    }
    tree_unlock(node);
    Py_XDECREF(msg);
    Py_XDECREF(group);
    Py_XDECREF(origin);
    return 0;
}

static void
CancelScope_dealloc(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    PyTypeObject *tp = Py_TYPE(self);
    _PyObject_ResurrectStart(op);       /* As in task_scopes_dealloc(). */
    if (self->cs_state == SCOPE_ACTIVE) {
        /* No code can leave it any more, such as when the frame of a coroutine
           that refused to be closed goes away. */
        scope_drop(self);
    }
    if (_PyObject_ResurrectEnd(op)) {
        return;
    }
    PyObject_GC_UnTrack(self);
    assert(self->cs_heap_index < 0 && !self->cs_in_tree
           && self->cs_loop == NULL);
    PyObject_ClearWeakRefs(op);
    (void)CancelScope_clear(op);
    Py_CLEAR(self->cs_node.loop_state);
    tp->tp_free(self);
    Py_DECREF(tp);
}

static PyMethodDef CancelScope_methods[] = {
    _ASYNCIO_CANCELSCOPE___ENTER___METHODDEF
    _ASYNCIO_CANCELSCOPE___EXIT___METHODDEF
    _ASYNCIO_CANCELSCOPE_CANCEL_METHODDEF
    {"create_task", _PyCFunction_CAST(CancelScope_create_task),
     METH_FASTCALL | METH_KEYWORDS, CancelScope_create_task__doc__},
    _ASYNCIO_CANCELSCOPE_ADOPT_METHODDEF
    _ASYNCIO_CANCELSCOPE__MOVE_HERE_METHODDEF
    _ASYNCIO_CANCELSCOPE__MEMBERS_METHODDEF
    _ASYNCIO_CANCELSCOPE__WATCH_METHODDEF
    _ASYNCIO_CANCELSCOPE__REGISTER_ROOT_METHODDEF
    _ASYNCIO_CANCELSCOPE__UNREGISTER_ROOT_METHODDEF
    _ASYNCIO_CANCELSCOPE__DISABLE_SHIELDS_METHODDEF
    {"_spawn", _PyCFunction_CAST(CancelScope__spawn),
     METH_FASTCALL | METH_KEYWORDS, CancelScope__spawn__doc__},
    {"__reduce__", CancelScope_reduce, METH_NOARGS, CancelScope_reduce__doc__},
    {NULL, NULL}        /* Sentinel */
};

#define FLAG_GETTER(name, flag, doc)                                        \
    {name, CancelScope_get_flag, NULL, PyDoc_STR(doc),                      \
     (void *)(uintptr_t)(flag)}

static PyGetSetDef CancelScope_getsetlist[] = {
    _ASYNCIO_CANCELSCOPE_CANCEL_CALLED_GETSETDEF
    _ASYNCIO_CANCELSCOPE_CANCEL_MESSAGE_GETSETDEF
    _ASYNCIO_CANCELSCOPE_EFFECTIVELY_CANCELLED_GETSETDEF
    _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF
    {"shield", CancelScope_get_flag, CancelScope_set_shield,
     PyDoc_STR("Whether cancellation from outside is kept away from the "
               "block."), (void *)(uintptr_t)SHIELD},
    FLAG_GETTER("cancelled_caught", CANCELLED_CAUGHT,
                "True if the scope swallowed the CancelledError that it "
                "caused."),
    FLAG_GETTER("deadline_expired", DEADLINE_EXPIRED,
                "True if it was the deadline that cancelled the scope."),
    FLAG_GETTER("cancels_tasks", CANCELS_TASKS,
                "True if the tasks below the scope are cancelled.\n\n"
                "Like effectively_cancelled, but what Task.cancel() asks of "
                "the task that has\nentered the scope does not count: it "
                "concerns that task only."),
    FLAG_GETTER("_parent_cancelled", PARENT_CANCELLED,
                "True if the scope is cancelled from outside, visibly."),
    FLAG_GETTER("_has_interrupted", HAS_INTERRUPTED,
                "True if the cancellation of the scope has interrupted a "
                "task."),
    _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF
    _ASYNCIO_CANCELSCOPE__OUTER_GROUP_GETSETDEF
    _ASYNCIO_CANCELSCOPE__LOOP_GETSETDEF
    _ASYNCIO_CANCELSCOPE__MEMBER_COUNT_GETSETDEF
    {NULL} /* Sentinel */
};

static PyType_Spec CancelScope_spec;

static PyType_Slot CancelScope_slots[] = {
    {Py_tp_dealloc, CancelScope_dealloc},
    {Py_tp_repr, CancelScope_repr},
    {Py_tp_doc, (void *)_asyncio_CancelScope___init____doc__},
    {Py_tp_traverse, CancelScope_traverse},
    {Py_tp_clear, CancelScope_clear},
    {Py_tp_methods, CancelScope_methods},
    {Py_tp_getset, CancelScope_getsetlist},
    {Py_tp_new, CancelScope_new},
    {Py_tp_init, _asyncio_CancelScope___init__},
    {Py_tp_vectorcall, CancelScope_vectorcall},
    {Py_tp_token, &CancelScope_spec},
    {0, NULL},
};

static PyType_Spec CancelScope_spec = {
    .name = "_asyncio.CancelScope",
    .basicsize = sizeof(CancelScopeObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MANAGED_WEAKREF),
    .slots = CancelScope_slots,
};


/* ----- Functions ----- */

PyDoc_STRVAR(_spawn_background__doc__,
"_spawn_background($module, errors, create_task, /, *args, **kwargs)\n"
"--\n"
"\n"
"Call *create_task*; the task it makes treats its exception as told.\n"
"\n"
"*errors* is one of \"propagate\", \"log\" and None, which means that the\n"
"caller retrieves it.");

static PyObject *
module_spawn_background(PyObject *module, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    bool claimed;
    return spawn(get_asyncio_state(module), NULL, args, nargs, kwnames,
                 &claimed);
}

/*[clinic input]
_asyncio._take_slot

    task: object
    /

Claim the scope and the errors mode that *task*, which is being made, gets.

Return them; the scope is None for the root of the loop.  Return None if the
task is made in another way, or if another task has claimed them.
[clinic start generated code]*/

static PyObject *
_asyncio__take_slot(PyObject *module, PyObject *task)
/*[clinic end generated code: output=ef91538351bc77b2 input=fc2b2d27d59e24c3]*/
{
    spawning_slot *slot = claim_slot(get_asyncio_state(module), task);
    if (slot == NULL) {
        Py_RETURN_NONE;
    }
    /* It is not of the C tree. */
    slot->refused = slot->scope != NULL && CancelScope_Check(slot->scope);
    return Py_BuildValue("(ON)", slot->scope == NULL ? Py_None : slot->scope,
                         errors_as_object(slot->errors));
}

/*[clinic input]
_asyncio._adopt_external

    loop: object
    task: object
    /

Give a task from a task factory to the root group if it is an external one.

Return it.
[clinic start generated code]*/

static PyObject *
_asyncio__adopt_external_impl(PyObject *module, PyObject *loop,
                              PyObject *task)
/*[clinic end generated code: output=d0802a2446d0620c input=d41684fe9db21691]*/
{
    if (Task_Check(get_asyncio_state(module), task)) {
        return Py_NewRef(task);
    }
    PyObject *adopt = cancelscopes_attr("_py_adopt_external");
    PyObject *res = adopt == NULL ? NULL
        : PyObject_CallFunctionObjArgs(adopt, loop, task, NULL);
    Py_XDECREF(adopt);
    return res;
}

/*[clinic input]
_asyncio._call_soon

    loop: object
    callback: object
    /

Have *loop* call *callback*, without arguments.
[clinic start generated code]*/

static PyObject *
_asyncio__call_soon_impl(PyObject *module, PyObject *loop,
                         PyObject *callback)
/*[clinic end generated code: output=8d6c6f5e055417e9 input=99cf2312fb33974e]*/
{
    PyObject *context = PyContext_CopyCurrent();
    int res = context == NULL ? -1
        : call_soon(get_asyncio_state(module), loop, callback, NULL, context);
    Py_XDECREF(context);
    return res < 0 ? NULL : Py_NewRef(Py_None);
}

/*[clinic input]
_asyncio._find_root

    loop: object
    /

Return the scope of the root group of *loop*, or None.
[clinic start generated code]*/

static PyObject *
_asyncio__find_root(PyObject *module, PyObject *loop)
/*[clinic end generated code: output=0914e2d510ffc32b input=1b64a35dd8dd18af]*/
{
    LoopStateObj *loop_state = loop_state_of(get_asyncio_state(module), loop);
    if (loop_state == NULL) {
        return NULL;
    }
    loop_state_lock(loop_state);
    PyObject *root = (PyObject *)loop_state_root(loop_state);
    if (root != NULL && !try_incref(root)) {
        root = NULL;
    }
    loop_state_unlock(loop_state);
    Py_DECREF(loop_state);
    return root == NULL ? Py_NewRef(Py_None) : root;
}

/*[clinic input]
_asyncio._is_cancelled

    task: object
    /

Return true if *task* is cancelled as a whole.
[clinic start generated code]*/

static PyObject *
_asyncio__is_cancelled(PyObject *module, PyObject *task)
/*[clinic end generated code: output=220a908d52a526ef input=c7fc128a9b3ae326]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        return call_helper("_py_is_cancelled", task);
    }
    scope_node *own = &((TaskObj *)task)->task_own_scope;
    tree_lock(own);
    bool cancelled = own->is_ready && own->canceller != NULL;
    tree_unlock(own);
    return PyBool_FromLong(cancelled);
}

/*[clinic input]
_asyncio._was_interrupted

    task: object
    /

Return true if a cancellation from outside *task* has interrupted it.

Whether the coroutine let the CancelledError pass does not matter, nor does
whether *task* is done.
[clinic start generated code]*/

static PyObject *
_asyncio__was_interrupted(PyObject *module, PyObject *task)
/*[clinic end generated code: output=f7fc97c247fc2667 input=9c9e931c4146197b]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        return call_helper("_py_was_interrupted", task);
    }
    scope_node *own = &((TaskObj *)task)->task_own_scope;
    tree_lock(own);
    bool interrupted = own->interrupted;
    tree_unlock(own);
    return PyBool_FromLong(interrupted);
}

/*[clinic input]
_asyncio._cancel_requests

    task: object
    /

Return the number of requests through cancel() that are in force.
[clinic start generated code]*/

static PyObject *
_asyncio__cancel_requests(PyObject *module, PyObject *task)
/*[clinic end generated code: output=466711c373a72753 input=b3d75b0250c34a08]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        return call_helper("_py_cancel_requests", task);
    }
    long requests;
    Py_BEGIN_CRITICAL_SECTION(task);
    requests = ((TaskObj *)task)->task_num_cancels_requested;
    Py_END_CRITICAL_SECTION();
    return PyLong_FromLong(requests);
}

/*[clinic input]
_asyncio._cancel_once

    task: object
    msg: object = None
    /

Interrupt one await of *task*, which counts as a request through cancel().
[clinic start generated code]*/

static PyObject *
_asyncio__cancel_once_impl(PyObject *module, PyObject *task, PyObject *msg)
/*[clinic end generated code: output=3d9cfb95b9f5e6cc input=7e80b3933dfa46c8]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        PyErr_Format(PyExc_TypeError, "task must be an asyncio.Task, not %T",
                     task);
        return NULL;
    }
    int res = 0;
    Py_BEGIN_CRITICAL_SECTION(task);
    TaskObj *self = (TaskObj *)task;
    if (self->task_state == STATE_PENDING) {
        self->task_log_tb = 0;
        res = task_cancel(self, msg, true);
    }
    Py_END_CRITICAL_SECTION();
    if (res < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/*[clinic input]
_asyncio._forget_delivery

    task: object
    /

Clear the CancelledError that was recorded: *task* has not swallowed it.
[clinic start generated code]*/

static PyObject *
_asyncio__forget_delivery(PyObject *module, PyObject *task)
/*[clinic end generated code: output=2df3fa136a0a1fcf input=4dcf60b5f93702a0]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        return call_helper("_py_forget_delivery", task);
    }
    Py_BEGIN_CRITICAL_SECTION(task);
    task_forget_delivery((TaskObj *)task, NULL);
    Py_END_CRITICAL_SECTION();
    Py_RETURN_NONE;
}

/* Make a scope from what move_on_after() and its like are given. */
static CancelScopeObj *
scope_from_arguments(PyObject *module, PyObject *deadline, const char *name,
                     PyObject *shield)
{
    double seconds;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(deadline, name, &seconds) < 0) {
        return NULL;
    }
    return cancel_scope_new(get_asyncio_state(module)->CancelScopeType,
                            seconds, shielded);
}

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
    CancelScopeObj *self = scope_from_arguments(module, delay, "delay",
                                                shield);
    if (self != NULL) {
        self->cs_relative = self->cs_deadline != Py_INFINITY;
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
    return (PyObject *)scope_from_arguments(module, when, "deadline", shield);
}

/*[clinic input]
_asyncio._make_scope

    deadline: object = None
    shield: object = False
    movable: bool = False

Return a CancelScope that the current task can enter.

One that is *movable* can be left in another task.
[clinic start generated code]*/

static PyObject *
_asyncio__make_scope_impl(PyObject *module, PyObject *deadline,
                          PyObject *shield, int movable)
/*[clinic end generated code: output=adbbb5c983a824dd input=0d1505052db58cd6]*/
{
    _PyThreadStateImpl *ts = (_PyThreadStateImpl *)_PyThreadState_GET();
    if (ts->asyncio_running_task == NULL && ts->asyncio_running_loop != NULL) {
        /* A pure-Python task is not known here. */
        PyObject *is_py = call_helper("_is_in_py_task", NULL);
        if (is_py == NULL) {
            return NULL;
        }
        Py_DECREF(is_py);
        if (Py_IsTrue(is_py)) {
            PyObject *make = cancelscopes_attr("_py_make_scope");
            PyObject *scope = make == NULL ? NULL
                : PyObject_CallFunctionObjArgs(
                    make, deadline, shield, movable ? Py_True : Py_False,
                    NULL);
            Py_XDECREF(make);
            return scope;
        }
    }
    CancelScopeObj *self = scope_from_arguments(module, deadline, "deadline",
                                                shield);
    if (self != NULL) {
        self->cs_movable = movable;
    }
    return (PyObject *)self;
}

/*[clinic input]
_asyncio.current_scope

    task: object = None

Return the innermost CancelScope that a task has entered, or None.

The default is the current task.  Scopes of timeouts and task groups count.
[clinic start generated code]*/

static PyObject *
_asyncio_current_scope_impl(PyObject *module, PyObject *task)
/*[clinic end generated code: output=56f7294f863abb25 input=a0b73bdb58994478]*/
{
    asyncio_state *state = get_asyncio_state(module);
    TaskObj *found = NULL;
    if (Py_IsNone(task)) {
        found = current_c_task(state);
    }
    else if (Task_Check(state, task)) {
        found = (TaskObj *)task;
        if (node_loop_state(&found->task_own_scope) == NULL) {
            Py_RETURN_NONE;     /* It has not been initialized. */
        }
    }
    if (found == NULL) {
        return call_helper("_py_current_scope", task);
    }
    PyObject *scope = NULL;
    tree_lock(&found->task_own_scope);
    scope_node *node = found->task_scope;
    while (scope == NULL && !node->is_task) {
        PyObject *op = (PyObject *)scope_of_node(node);
        if (try_incref(op)) {
            scope = op;
        }
        node = node->parent;    /* It is just being taken out. */
    }
    tree_unlock(&found->task_own_scope);
    if (scope == NULL) {
        Py_RETURN_NONE;
    }
    return scope;
}

/* What kind of block the scope belongs to. */
static const char *
scope_kind(CancelScopeObj *self)
{
    return self->cs_is_root ? "asyncio.run()"
        : !self->cs_movable ? "CancelScope"
        : self->cs_group != NULL ? "TaskGroup" : "timeout()";
}

/*[clinic input]
_asyncio._scopes_around

    task: object
    /

Describe the scopes around the code of *task*, the innermost first.

Return a list of (scope, kind, host, origin): the task that has entered
the scope, or None, and in debug mode where.
[clinic start generated code]*/

static PyObject *
_asyncio__scopes_around(PyObject *module, PyObject *task)
/*[clinic end generated code: output=1d6f169650a61859 input=588ef37a71067d8d]*/
{
    if (!Task_Check(get_asyncio_state(module), task)
        || node_loop_state(&((TaskObj *)task)->task_own_scope) == NULL)
    {
        return call_helper("_py_scopes_around", task);
    }
    scope_node *own = &((TaskObj *)task)->task_own_scope;
    PyObject *scopes = PyList_New(0);
    if (scopes == NULL) {
        return NULL;
    }
    PyObject *lost = NULL;      /* released when the tree is not locked */
    tree_lock(own);
    for (scope_node *node = ((TaskObj *)task)->task_scope;
         node != NULL && lost == NULL; node = node->parent)
    {
        PyObject *op = node->is_task ? NULL : (PyObject *)scope_of_node(node);
        if (op != NULL && try_incref(op)) {
            if (PyList_Append(scopes, op) < 0) {
                lost = op;
            }
            else {
                Py_DECREF(op);
            }
        }
    }
    tree_unlock(own);
    Py_ssize_t count = PyList_GET_SIZE(scopes);
    PyObject *list = lost != NULL ? NULL : PyList_New(count);
    Py_XDECREF(lost);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        CancelScopeObj *scope = CancelScope_CAST(PyList_GET_ITEM(scopes, i));
        tree_lock(&scope->cs_node);
        const char *kind = scope_kind(scope);
        PyObject *host = (PyObject *)scope_host(&scope->cs_node);
        PyObject *origin = Py_XNewRef(scope->cs_origin);
        tree_unlock(&scope->cs_node);
        PyObject *entry = Py_BuildValue(
            "(OsOO)", scope, kind, host == NULL ? Py_None : host,
            origin == NULL ? Py_None : origin);
        Py_XDECREF(host);
        Py_XDECREF(origin);
        if (entry == NULL) {
            Py_CLEAR(list);
        }
        else {
            PyList_SET_ITEM(list, i, entry);
        }
    }
    Py_DECREF(scopes);
    return list;
}

/*[clinic input]
_asyncio._shielding_scope

Return the innermost shielded CancelScope around the running code, or None.

It can be one of another task, which the current one is below.
[clinic start generated code]*/

static PyObject *
_asyncio__shielding_scope_impl(PyObject *module)
/*[clinic end generated code: output=eed89ce9b4fbd6e9 input=2203108d91679b77]*/
{
    TaskObj *task = current_c_task(get_asyncio_state(module));
    if (task == NULL) {
        return call_helper("_py_shielding_scope", NULL);
    }
    scope_node *own = &task->task_own_scope;
    PyObject *scope = NULL;
    tree_lock(own);
    scope_node *node = task->task_scope;
    while (node != NULL && !node->shield) {
        node = node->parent;
    }
    if (node != NULL && try_incref((PyObject *)scope_of_node(node))) {
        scope = (PyObject *)scope_of_node(node);
    }
    tree_unlock(own);
    if (scope == NULL) {
        Py_RETURN_NONE;
    }
    return scope;
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
        return call_helper("_py_current_effective_deadline", NULL);
    }
    if (task_is_cancelled(task)) {
        return PyFloat_FromDouble(-Py_INFINITY);
    }
    double earliest = Py_INFINITY;
    tree_lock(&task->task_own_scope);
    scope_node *node = task->task_scope;
    while (node != NULL) {
        if (!node->is_task && !scope_of_node(node)->cs_relative) {
            double deadline = scope_of_node(node)->cs_deadline;
            earliest = Py_MIN(earliest, deadline);
        }
        node = node->shield ? NULL : node->parent;
    }
    tree_unlock(&task->task_own_scope);
    return PyFloat_FromDouble(earliest);
}
