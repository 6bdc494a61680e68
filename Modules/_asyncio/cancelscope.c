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
    "unentered", "active", "left", "destroyed",
};

/* What is not worth a line of C: asyncio.cancelscopes has it. */
static PyObject *
cancelscopes_attr(const char *name)
{
    PyObject *module = PyUnicode_InternFromString("asyncio.cancelscopes");
    PyObject *attr = module == NULL ? NULL : PyUnicode_InternFromString(name);
    PyObject *res = attr == NULL ? NULL
        : PyImport_ImportModuleAttr(module, attr);
    Py_XDECREF(module);
    Py_XDECREF(attr);
    return res;
}

/* Is the legacy switch edge-cancel in force? */
static int
read_edge_cancel(bool *edge_cancel)
{
    PyObject *legacy = PyImport_ImportModuleAttrString("_asyncio_legacy",
                                                       "legacy");
    PyObject *names = legacy == NULL ? NULL : PyObject_CallNoArgs(legacy);
    PyObject *name = names == NULL ? NULL : PyUnicode_FromString("edge-cancel");
    int res = name == NULL ? -1 : PySequence_Contains(names, name);
    Py_XDECREF(legacy);
    Py_XDECREF(names);
    Py_XDECREF(name);
    *edge_cancel = res > 0;
    return res < 0 ? -1 : 0;
}

static inline TaskObj *
current_c_task(asyncio_state *state)
{
    PyObject *task = ((_PyThreadStateImpl *)_PyThreadState_GET())
        ->asyncio_running_task;
    /* (One without an own scope has not been initialized.) */
    return task != NULL && Task_Check(state, task)
        && ((TaskObj *)task)->task_own_scope.host != NULL
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
        llist_init(&self->cs_node.children);
        self->cs_deadline = deadline;
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
every await in its block that has to wait raises CancelledError, until the
block is left; there the scope swallows the error.

deadline -- when the scope cancels itself, in seconds on the clock of the
    event loop, or None.
shield -- keep cancellation that comes from outside away from the block.

Modelled on trio.CancelScope.
[clinic start generated code]*/

static int
_asyncio_CancelScope___init___impl(CancelScopeObj *self, PyObject *deadline,
                                   PyObject *shield)
/*[clinic end generated code: output=b839fc9626950d90 input=e0af1a311568e04c]*/
{
    double when;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(deadline, "deadline", &when) < 0) {
        return -1;
    }
    tree_lock(&self->cs_node);
    bool is_new = self->cs_state == SCOPE_NEW;
    if (is_new) {
        self->cs_deadline = when;
        self->cs_relative = 0;
        self->cs_node.shield = shielded;
    }
    tree_unlock(&self->cs_node);
    if (!is_new) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This CancelScope has already been entered; it cannot "
                        "be initialized again");
        return -1;
    }
    return 0;
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

/* The loop of an active scope, a new reference, or NULL. */
static PyObject *
scope_loop(CancelScopeObj *self)
{
    tree_lock(&self->cs_node);
    PyObject *loop = Py_XNewRef(scope_loop_lock_held(self));
    tree_unlock(&self->cs_node);
    return loop;
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
        PyObject *check = cancelscopes_attr("_check_calling_loop");
        PyObject *none = check == NULL ? NULL : PyObject_CallOneArg(check, loop);
        Py_XDECREF(check);
        res = none == NULL ? -1 : 0;
        Py_XDECREF(none);
    }
    Py_DECREF(loop);
    return res;
}

/* The deadline of a scope has passed.  Those around it that have passed by then
   as well must not come later only because the timer does: it is the outermost
   one that counts.  Add the references that their deadlines had to *removed*. */
static int
scope_expire_around(CancelScopeObj *self, double now, DeadlinesObj **removed,
                    PyObject **hosts)
{
    int res = 0;
    scope_node *node = self->cs_node.parent;
    for (; node != NULL; node = node->parent) {
        CancelScopeObj *scope = node->is_task ? NULL : scope_of_node(node);
        if (scope == NULL || scope->cs_deadlines == NULL
            || scope->cs_deadline > now)
        {
            continue;
        }
        DeadlinesObj *deadlines = deadlines_remove(scope);
        if (*removed == NULL) {
            *removed = deadlines;
        }
        else {
            assert(*removed == deadlines);  /* It is that of the loop. */
            Py_DECREF(deadlines);
        }
        node->requested = 1;
        scope->cs_expired = 1;
        if (node->tree_cause == NULL && scope_mark(node, hosts) < 0) {
            res = -1;
        }
    }
    return res;
}

/* Lock the tree of a scope, which is in its critical section; but if it has a
   twin that is to be asked instead, return that, a new reference.  (Whoever
   waits for the lock is not alone meanwhile: so not before.) */
static PyObject *
scope_lock_or_twin(CancelScopeObj *self)
{
    tree_lock(&self->cs_node);
    PyObject *twin = Py_XNewRef(self->cs_twin);
    if (twin != NULL) {
        tree_unlock(&self->cs_node);
    }
    return twin;
}

/* The request was made; by the deadline, which is not later than `now`, if that
   is not NULL.  Only the first one counts, and only until the scope is left.
   (A twin knows of its deadline itself.) */
static int
scope_request(CancelScopeObj *self, PyObject *msg, const double *now)
{
    scope_node *node = &self->cs_node;
    PyObject *hosts = NULL;
    int res = 0;

    PyObject *twin = scope_lock_or_twin(self);
    if (twin != NULL) {
        PyObject *none = now != NULL ? Py_NewRef(Py_None)
            : PyObject_CallMethodOneArg(twin, &_Py_ID(cancel), msg);
        Py_DECREF(twin);
        Py_XDECREF(none);
        return none == NULL ? -1 : 0;
    }
    if (node->requested
        || (self->cs_state != SCOPE_NEW && self->cs_state != SCOPE_ACTIVE)
        || (now != NULL && self->cs_deadline > *now))
    {
        tree_unlock(node);
        return 0;
    }
    node->requested = 1;
    self->cs_expired = now != NULL;
    node->msg = Py_XNewRef(msg);
    DeadlinesObj *deadlines = deadlines_remove(self);
    /* All below a scope that is cancelled already know. */
    if (self->cs_state == SCOPE_ACTIVE && node->tree_cause == NULL) {
        res = scope_mark(node, &hosts);
    }
    if (now != NULL
        && scope_expire_around(self, *now, &deadlines, &hosts) < 0)
    {
        res = -1;
    }
    tree_unlock(node);
    Py_XDECREF(deadlines);
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
    double now, deadline = Py_INFINITY;
    PyObject *loop = scope_loop(self);
    if (loop == NULL) {
        return 0;
    }
    int res = loop_time(loop, &now);
    if (res == 0) {
        /* A hostile time() may have done anything to the scope. */
        tree_lock(node);
        if (self->cs_state == SCOPE_ACTIVE) {
            if (self->cs_relative) {
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
            res = deadlines_add(scope_module_state(self),
                                self, loop);
        }
    }
    Py_DECREF(loop);
    return res;
}

/* Is it in the tree, but not as a root? */
static inline bool
scope_is_entered(CancelScopeObj *self)
{
    return self->cs_node.host != NULL || self->cs_loop != NULL;
}

/* The tasks below a cancelled scope, which is about to be left, stay cancelled. */
static void
scope_keep_cancelled(scope_node *node)
{
    struct llist_node *entry;
    llist_for_each(entry, &node->children) {
        scope_node *child = llist_data(entry, scope_node, siblings);
        if (child->is_task) {
            child->requested = 1;
            if (child->msg == NULL) {
                PyObject *msg = scope_msg(node);
                if (Py_IsNone(msg)) {
                    Py_CLEAR(msg);
                }
                child->msg = msg;
            }
        }
    }
}

/* Take an active scope out of the tree; not to wait any more, if `closing`. */
static int
scope_leave(CancelScopeObj *self, bool closing)
{
    scope_node *node = &self->cs_node;
    PyObject *hosts = NULL;

    tree_lock(node);
    if (!scope_is_entered(self)) {
        tree_unlock(node);      /* Somebody else was faster. */
        return 0;
    }
    TaskObj *task = scope_host(node);
    scope_node *parent = node->parent;
    DeadlinesObj *deadlines = deadlines_remove(self);
    PyObject *token;
    ShieldMarkObj *mark = scope_take_mark(self, &token);
    PyObject *group = self->cs_group;
    bool has_members = self->cs_members > 0;
    PyObject *loop = self->cs_loop;
    self->cs_loop = NULL;
    self->cs_group = NULL;
    self->cs_state = SCOPE_LEFT;
    /* Only while it is among the scopes of its host: a wrong exit, or the end of
       a scope that was dropped, has not done so. */
    scope_hand_up_requests(node);
    if (node->host != NULL && node->host->task_scope == node) {
        FT_ATOMIC_STORE_PTR_RELAXED(node->host->task_scope, parent);
    }
    if (node->requested && has_members) {
        scope_keep_cancelled(node);
    }
    int res = scope_detach(node, parent, &hosts);
    tree_unlock(node);
    Py_XDECREF(deadlines);
    Py_XDECREF(loop);
    if (mark != NULL) {
        shield_mark_remove(scope_module_state(self), mark,
                           token);
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
        && call_group(group, "_members_done", NULL, NULL) < 0)
    {
        keep_error(&error);
    }
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
        FT_ATOMIC_STORE_PTR_RELAXED(host->task_scope, node->parent);
        return 0;
    }
    scope_node *inner = host->task_scope;
    while (inner->parent != node) {
        inner = inner->parent;
    }
    scope_set_parent(inner, node->parent);
    return scope_mark(inner, hosts);
}

/* May a scope that is in the tree, which is locked, be left in the task, where
   it is not the current one?  If it is another task's, the scopes of timeouts
   and groups, except in what is below them; else, if only such are inside. */
static bool
scope_can_move_to(CancelScopeObj *self, TaskObj *task)
{
    scope_node *node = &self->cs_node;
    if (!scope_is_entered(self) || task->task_state != STATE_PENDING
        || !scope_belongs_to(self, task->task_loop))
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

/* Is the coroutine of the task that has entered the scope, and is not `task`,
   being closed? */
static int
scope_is_closing(CancelScopeObj *self, TaskObj *task)
{
    tree_lock(&self->cs_node);
    if (task != NULL && self->cs_node.host == task) {
        tree_unlock(&self->cs_node);
        return 0;
    }
    PyObject *host = (PyObject *)scope_host(&self->cs_node);
    /* One that is not to be had: everything goes away. */
    int closing = host == NULL && self->cs_node.host != NULL;
    tree_unlock(&self->cs_node);
    if (host != NULL) {
        PyObject *is_closing = cancelscopes_attr("_is_closing");
        PyObject *res = is_closing == NULL ? NULL
            : PyObject_CallOneArg(is_closing, host);
        Py_XDECREF(is_closing);
        Py_DECREF(host);
        closing = res == NULL ? -1 : PyObject_IsTrue(res);
        Py_XDECREF(res);
    }
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
        node->delivered = node->lifted = 0;
        self->cs_moved = task->task_source_tb != NULL;
    }
    if (node->host != NULL) {
        res = scope_take_from_host(node, &hosts);
    }
    PyObject *loop = self->cs_loop;
    self->cs_loop = NULL;
    scope_set_parent(node, task->task_scope);
    node->host = task;
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

/* Take a root out of the registry, and let go of what is below it. */
static int
scope_uproot(CancelScopeObj *self)
{
    PyObject *hosts = NULL;

    tree_lock(&self->cs_node);
    if (self->cs_node.siblings.next != NULL) {
        llist_remove(&self->cs_node.siblings);
    }
    DeadlinesObj *deadlines = deadlines_remove(self);
    PyObject *loop = self->cs_root_loop;
    self->cs_root_loop = NULL;
    PyObject *group = self->cs_group;
    self->cs_group = NULL;
    self->cs_state = SCOPE_LEFT;
    int res = scope_detach(&self->cs_node, NULL, &hosts);
    tree_unlock(&self->cs_node);
    Py_XDECREF(deadlines);
    Py_XDECREF(loop);
    res = scope_finish_update(res, hosts);
    Py_XDECREF(group);
    return res;
}

static PyObject *
refuse_second_entry(void)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "This CancelScope has already been entered; "
                    "make a new one for each \"with\" block");
    return NULL;
}

/* Let the twin be what the scope is, and take its place from now on: 1.  But 0 if
   the scope has been changed or entered meanwhile, which another thread can. */
static int
scope_give_way(CancelScopeObj *self, PyObject *twin)
{
    scope_node *node = &self->cs_node;
    tree_lock(node);
    double when = self->cs_deadline;
    bool relative = self->cs_relative;
    bool shield = node->shield;
    bool requested = node->requested;
    bool expired = self->cs_expired;
    bool movable = self->cs_movable;
    PyObject *msg = Py_XNewRef(node->msg);
    PyObject *group = Py_XNewRef(self->cs_group);
    tree_unlock(node);
    PyObject *fill = cancelscopes_attr("_fill_twin");
    PyObject *deadline = deadline_as_object(when);
    PyObject *res = NULL;
    if (fill != NULL && deadline != NULL) {
        res = PyObject_CallFunctionObjArgs(
            fill, self, twin,
            movable ? Py_True : Py_False, group == NULL ? Py_None : group, deadline,
            relative ? Py_True : Py_False, shield ? Py_True : Py_False,
            requested ? Py_True : Py_False, expired ? Py_True : Py_False,
            msg == NULL ? Py_None : msg, NULL);
    }
    Py_XDECREF(deadline);
    Py_XDECREF(fill);
    bool is_same = false;
    if (res != NULL) {
        tree_lock(node);
        is_same = self->cs_state == SCOPE_NEW && self->cs_deadline == when
            && self->cs_relative == relative && node->shield == shield
            && node->requested == requested && self->cs_expired == expired
            && node->msg == msg && self->cs_group == group;
        if (is_same) {
            assert(self->cs_twin == NULL);
            self->cs_state = SCOPE_ACTIVE;
            self->cs_twin = Py_NewRef(twin);
        }
        tree_unlock(node);
    }
    Py_XDECREF(msg);
    Py_XDECREF(group);
    Py_XDECREF(res);
    return res == NULL ? -1 : is_same;
}

/* The twin could not be entered: the scope is new again, but for what has been
   done to the twin meanwhile.  Keeps the current exception. */
static void
scope_part_with_twin(CancelScopeObj *self, PyObject *twin)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *deadline, *msg;
    int relative, shield, requested, expired;
    double when = Py_INFINITY;
    PyObject *read = cancelscopes_attr("_read_twin");
    PyObject *values = read == NULL ? NULL : PyObject_CallOneArg(read, twin);
    Py_XDECREF(read);
    bool is_read = values != NULL
        && PyArg_ParseTuple(values, "OppppO", &deadline, &relative, &shield,
                            &requested, &expired, &msg)
        && parse_deadline(deadline, "deadline", &when) == 0;
    if (!is_read) {
        PyErr_FormatUnraisable("Exception ignored while %R was not entered",
                               self);
    }
    PyObject *old_msg = NULL;
    tree_lock(&self->cs_node);
    PyObject *old_twin = self->cs_twin;
    self->cs_twin = NULL;
    self->cs_state = SCOPE_NEW;
    if (is_read) {
        self->cs_deadline = when;
        self->cs_relative = relative;
        self->cs_node.shield = shield;
        self->cs_node.requested = requested;
        self->cs_expired = expired;
        old_msg = self->cs_node.msg;
        self->cs_node.msg = Py_NewRef(msg);
    }
    tree_unlock(&self->cs_node);
    Py_XDECREF(values);
    Py_XDECREF(old_twin);
    Py_XDECREF(old_msg);
    PyErr_SetRaisedException(exc);
}

/* Enter a scope where the current task is none of ours: the pure-Python class
   knows what to do, and what to say if it cannot. */
static PyObject *
scope_enter_twin(CancelScopeObj *self)
{
    PyObject *make = cancelscopes_attr("_PyCancelScope");
    if (make == NULL) {
        return NULL;
    }
    PyObject *twin;
    for (;;) {
        tree_lock(&self->cs_node);
        bool is_new = self->cs_state == SCOPE_NEW;
        tree_unlock(&self->cs_node);
        if (!is_new) {
            Py_DECREF(make);
            return refuse_second_entry();
        }
        twin = PyObject_CallNoArgs(make);
        int res = twin == NULL ? -1 : scope_give_way(self, twin);
        if (res > 0) {
            break;
        }
        Py_XDECREF(twin);
        if (res < 0) {
            Py_DECREF(make);
            return NULL;
        }
    }
    Py_DECREF(make);
    PyObject *res = PyObject_CallMethodNoArgs(twin, &_Py_ID(__enter__));
    if (res == NULL) {
        scope_part_with_twin(self, twin);
        Py_DECREF(twin);
        return NULL;
    }
    Py_DECREF(twin);
    Py_DECREF(res);
    return Py_NewRef(self);
}

/* Remember where the scope is entered, for tasks made in debug mode. */
static void
scope_note_origin(CancelScopeObj *self)
{
    PyObject *find = cancelscopes_attr("_find_origin");
    PyObject *origin = find == NULL ? NULL : PyObject_CallNoArgs(find);
    Py_XDECREF(find);
    if (origin == NULL) {
        PyErr_FormatUnraisable("Exception ignored while %R was entered", self);
    }
    tree_lock(&self->cs_node);
    PyObject *old = self->cs_origin;
    self->cs_origin = origin;
    tree_unlock(&self->cs_node);
    Py_XDECREF(old);
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

    tree_lock(node);
    while (self->cs_state == SCOPE_NEW && task != NULL
           && !tree_assign(node, task->task_loop))
    {
        /* Look again. */
    }
    if (self->cs_state != SCOPE_NEW) {
        tree_unlock(node);
        return refuse_second_entry();
    }
    if (task == NULL) {
        tree_unlock(node);
        return scope_enter_twin(self);
    }
    self->cs_state = SCOPE_ACTIVE;
    scope_attach(node, task->task_scope, task);
    FT_ATOMIC_STORE_PTR_RELAXED(task->task_scope, node);
    tree_unlock(node);
    if (task->task_source_tb != NULL) {
        scope_note_origin(self);
    }
    if ((node->shield && scope_add_mark(state, self, task) < 0)
        || scope_arm(self) < 0)
    {
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

/* Leaving the scope now is wrong: say why, and take it out if it is still in.
   Return 1 if nobody is to blame, for the coroutine is just being closed. */
static int
scope_wrong_exit(CancelScopeObj *self, TaskObj *current, PyObject *exc)
{
    const char *problem;

    tree_lock(&self->cs_node);
    scope_state life = self->cs_state;
    bool is_root = self->cs_root_loop != NULL;
    bool is_own = current != NULL && self->cs_node.host == current;
    tree_unlock(&self->cs_node);
    switch (life) {
    case SCOPE_NEW:
        problem = "This CancelScope has not been entered";
        break;
    case SCOPE_LEFT:
        problem = "This CancelScope has already been left";
        break;
    case SCOPE_DESTROYED:
        return 1;
    case SCOPE_ACTIVE:
        if (is_root) {
            PyErr_SetString(PyExc_RuntimeError, "Nobody can leave a root");
            return -1;
        }
        if (is_own) {
            problem = "This CancelScope is left while a scope inside it is "
                      "still open; leave scopes in the reverse order of "
                      "their entry";
            break;
        }
        if (PyErr_GivenExceptionMatches(exc, PyExc_GeneratorExit)) {
            int closing = scope_is_closing(self, current);
            if (closing != 0) {
                if (closing > 0 && scope_leave(self, true) < 0) {
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
    if (scope_leave(self, false) < 0) {
        return -1;
    }
    PyErr_SetString(PyExc_RuntimeError, problem);
    return -1;
}

static void
scope_set_caught(CancelScopeObj *self)
{
    tree_lock(&self->cs_node);
    self->cs_caught = 1;
    tree_unlock(&self->cs_node);
}

/* Take the cancellations out of a group and raise the rest.  Return 1 if there
   is no rest, 0 if there is nothing to take out. */
static int
scope_filter_group(CancelScopeObj *self, PyObject *group)
{
    PyObject *func = cancelscopes_attr("_without_cancellations");
    PyObject *rest = func == NULL ? NULL : PyObject_CallOneArg(func, group);
    Py_XDECREF(func);
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
scope_warn_moved(CancelScopeObj *self, bool is_group)
{
    PyObject *warn = cancelscopes_attr("_warn_moved");
    PyObject *res = warn == NULL ? NULL : PyObject_CallFunctionObjArgs(
        warn, is_group ? Py_True : Py_False,
        self->cs_origin == NULL ? Py_None : self->cs_origin, NULL);
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
    scope_node *outer = scope_outer_cause(node);
    bool is_overruled = scope_hand_up_requests(node) != NULL || outer != NULL;
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
    if (is_overruled) {
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
    if (PyObject_TypeCheck(exc,
                           (PyTypeObject *)PyExc_BaseExceptionGroup))
    {
        int res = scope_filter_group(self, exc);
        return res < 0 ? NULL : PyBool_FromLong(res);
    }
    Py_RETURN_FALSE;
}

/* Is there a current task, of whatever kind?  1, 0 or -1. */
static int
is_in_task(void)
{
    PyObject *current = cancelscopes_attr("_current_task");
    PyObject *task = current == NULL ? NULL : PyObject_CallNoArgs(current);
    Py_XDECREF(current);
    if (task == NULL) {
        return -1;
    }
    Py_DECREF(task);
    return !Py_IsNone(task);
}

/* The scope is left where it is not the current one.  Return 1 if it has been
   moved, so that it is; 2 if it may be left as it is; else 0. */
static int
scope_prepare_exit(CancelScopeObj *self, TaskObj *task, PyObject *exc)
{
    tree_lock(&self->cs_node);
    bool may_move = scope_is_entered(self)
        && (self->cs_movable
            || (task != NULL && self->cs_node.host == task));
    tree_unlock(&self->cs_node);
    if (!may_move) {
        return 0;
    }
    if (PyErr_GivenExceptionMatches(exc, PyExc_GeneratorExit)) {
        int closing = scope_is_closing(self, task);
        if (closing != 0) {
            return closing < 0 ? -1 : 0;
        }
    }
    int moved = task == NULL ? 0 : scope_move_here(self, task);
    if (moved == 0) {
        int inside = task != NULL ? 1 : is_in_task();
        if (inside < 0) {
            return -1;
        }
        tree_lock(&self->cs_node);
        if (inside && scope_is_entered(self) && self->cs_movable
            && (task == NULL || self->cs_node.host != task))
        {
            moved = 2;
        }
        tree_unlock(&self->cs_node);
    }
    return moved;
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
    scope_node *node = &self->cs_node;
    if (self->cs_twin != NULL) {
        /* It has a reference to the group, too. */
        tree_lock(node);
        PyObject *group = self->cs_group;
        self->cs_group = NULL;
        tree_unlock(node);
        Py_XDECREF(group);
        return PyObject_CallMethodObjArgs(self->cs_twin, &_Py_ID(__exit__),
                                          exc_type, exc, tb, NULL);
    }
    asyncio_state *state = scope_module_state(self);
    TaskObj *task = current_c_task(state);

    tree_lock(node);
    bool is_right = self->cs_state == SCOPE_ACTIVE
        && task != NULL && node->host == task && task->task_scope == node;
    bool is_group = self->cs_group != NULL;
    tree_unlock(node);
    if (!is_right) {
        int moved = scope_prepare_exit(self, task, exc);
        if (moved == 0) {
            moved = scope_wrong_exit(self, task, exc);
            return moved < 0 ? NULL : Py_NewRef(Py_False);
        }
        if (moved < 0) {
            return NULL;
        }
        if (moved == 2) {
            task = NULL;
        }
    }
    /* What runs meanwhile can make another task the current one. */
    Py_XINCREF(task);
    PyObject *res = scope_exit(self, state, task, exc);
    Py_XDECREF(task);
    if (self->cs_moved) {
        PyObject *error = PyErr_GetRaisedException();
        if (scope_warn_moved(self, is_group) < 0) {
            Py_CLEAR(res);
            keep_error(&error);
        }
        PyErr_SetRaisedException(error);
    }
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
    if (self->cs_twin == NULL) {
        tree_lock(&self->cs_node);
        bool counts = !self->cs_node.requested
            && (self->cs_state == SCOPE_NEW || self->cs_state == SCOPE_ACTIVE);
        tree_unlock(&self->cs_node);
        if (!counts) {
            Py_RETURN_NONE;
        }
    }
    if (scope_check_thread(self) < 0 || scope_request(self, msg, NULL) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
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
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(cancel_called));
    }
    tree_lock(&self->cs_node);
    bool requested = self->cs_node.requested;
    double deadline = self->cs_relative ? Py_INFINITY : self->cs_deadline;
    scope_state life = self->cs_state;
    tree_unlock(&self->cs_node);
    if (deadline == Py_INFINITY || requested) {
        return PyBool_FromLong(requested);
    }
    PyObject *loop = NULL;
    if (life == SCOPE_ACTIVE) {
        loop = scope_loop(self);
    }
    else if (life == SCOPE_NEW) {
        loop = Py_XNewRef(((_PyThreadStateImpl *)_PyThreadState_GET())
                          ->asyncio_running_loop);
    }
    if (loop != NULL) {
        double now;
        int res = loop_time(loop, &now);
        Py_DECREF(loop);
        /* That somebody has been told so holds. */
        if (res < 0 || scope_request(self, NULL, &now) < 0) {
            return NULL;
        }
        if (self->cs_twin != NULL) {
            /* The scope has been entered meanwhile. */
            return PyObject_GetAttr(self->cs_twin, &_Py_ID(cancel_called));
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
_asyncio.CancelScope.cancelled_caught

True if the scope swallowed the CancelledError that it caused.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_cancelled_caught_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=cac33580acba9bb8 input=0766598d12e09893]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(cancelled_caught));
    }
    tree_lock(&self->cs_node);
    bool caught = self->cs_caught;
    tree_unlock(&self->cs_node);
    return PyBool_FromLong(caught);
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
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(cancel_message));
    }
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
    bool cancelled = self->cs_node.cause != NULL || self->cs_node.requested;
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
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin,
                                &_Py_ID(effectively_cancelled));
    }
    /* Changes nothing, for it may be asked from any thread. */
    double deadline;
    if (scope_is_cancelled(self, &deadline)) {
        Py_RETURN_TRUE;
    }
    if (isinf(deadline) && deadline > 0) {
        Py_RETURN_FALSE;
    }
    tree_lock(&self->cs_node);
    scope_state life = self->cs_state;
    tree_unlock(&self->cs_node);
    PyObject *loop = NULL;
    if (life == SCOPE_ACTIVE) {
        loop = scope_loop(self);
    }
    else if (life == SCOPE_NEW) {
        loop = Py_XNewRef(((_PyThreadStateImpl *)_PyThreadState_GET())
                          ->asyncio_running_loop);
    }
    if (loop == NULL) {
        Py_RETURN_FALSE;
    }
    /* The timer of a scope may be late. */
    double now;
    int res = loop_time(loop, &now);
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
_asyncio.CancelScope.deadline_expired

True if it was the deadline that cancelled the scope.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_deadline_expired_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=8f2243d6b5a90c6b input=a5746fba61760ab9]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(deadline_expired));
    }
    tree_lock(&self->cs_node);
    bool expired = self->cs_expired;
    tree_unlock(&self->cs_node);
    return PyBool_FromLong(expired);
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._overruled

True if the scope is cancelled from outside, visibly.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__overruled_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=5362c26725588348 input=f9e45443f0e5a971]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(_overruled));
    }
    tree_lock(&self->cs_node);
    bool overruled = self->cs_node.host_requested
        || scope_outer_cause(&self->cs_node) != NULL;
    tree_unlock(&self->cs_node);
    return PyBool_FromLong(overruled);
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._has_interrupted

True if the cancellation of the scope has interrupted a task.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__has_interrupted_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=c4ff951f2ddb87f8 input=2045e5c23c32b68d]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttrString(self->cs_twin, "_has_interrupted");
    }
    tree_lock(&self->cs_node);
    bool interrupted = self->cs_node.interrupted;
    tree_unlock(&self->cs_node);
    return PyBool_FromLong(interrupted);
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope.cancels_tasks

True if the tasks below the scope are cancelled.

Like effectively_cancelled, but what Task.cancel() asks of the task that has
entered the scope does not count: it concerns that task only.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_cancels_tasks_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=560d10c493749b3f input=1d852ce0149557e1]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttrString(self->cs_twin, "cancels_tasks");
    }
    tree_lock(&self->cs_node);
    bool cancels = self->cs_node.tree_cause != NULL;
    tree_unlock(&self->cs_node);
    return PyBool_FromLong(cancels);
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
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(deadline));
    }
    tree_lock(&self->cs_node);
    double deadline = self->cs_relative ? Py_INFINITY : self->cs_deadline;
    tree_unlock(&self->cs_node);
    return deadline_as_object(deadline);
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
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    if (parse_deadline(value, "deadline", &deadline) < 0) {
        return -1;
    }
    if (scope_check_thread(self) < 0) {
        return -1;
    }
    /* (Not before: a hostile __float__() may have entered the scope.) */
    PyObject *twin = scope_lock_or_twin(self);
    if (twin != NULL) {
        PyObject *parsed = deadline_as_object(deadline);
        int res = parsed == NULL ? -1
            : PyObject_SetAttr(twin, &_Py_ID(deadline), parsed);
        Py_XDECREF(parsed);
        Py_DECREF(twin);
        return res;
    }
    DeadlinesObj *deadlines = deadlines_remove(self);
    self->cs_deadline = deadline;
    self->cs_relative = 0;
    bool is_active = self->cs_state == SCOPE_ACTIVE;
    tree_unlock(&self->cs_node);
    Py_XDECREF(deadlines);
    return is_active ? scope_arm(self) : 0;
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope.shield

Whether cancellation from outside is kept away from the block.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope_shield_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=0c92e2f490bd56be input=a2dcc82e03bd2bb5]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttr(self->cs_twin, &_Py_ID(shield));
    }
    tree_lock(&self->cs_node);
    bool shield = self->cs_node.shield;
    tree_unlock(&self->cs_node);
    return PyBool_FromLong(shield);
}

/*[clinic input]
@critical_section
@setter
_asyncio.CancelScope.shield
[clinic start generated code]*/

static int
_asyncio_CancelScope_shield_set_impl(CancelScopeObj *self, PyObject *value)
/*[clinic end generated code: output=34a18ce211b46b7d input=afe13608482780b6]*/
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    int shield = parse_shield(value);
    if (shield < 0 || scope_check_thread(self) < 0) {
        return -1;
    }
    asyncio_state *state = scope_module_state(self);
    scope_node *node = &self->cs_node;
    PyObject *hosts = NULL;
    TaskObj *host = NULL;
    int res = 0;

    PyObject *twin = scope_lock_or_twin(self);
    if (twin != NULL) {
        res = PyObject_SetAttr(twin, &_Py_ID(shield), value);
        Py_DECREF(twin);
        return res;
    }
    node->shield = shield;
    if (self->cs_state == SCOPE_ACTIVE) {
        host = scope_host(node);
        res = scope_mark(node, &hosts);
    }
    bool needs_mark = node->shield && self->cs_mark == NULL;
    tree_unlock(node);
    res = scope_finish_update(res, hosts);
    if (res == 0 && needs_mark && host != NULL && host == current_c_task(state)) {
        res = scope_add_mark(state, self, host);
    }
    if (res == 0 && host != NULL) {
        /* By edge, no scope has become cancelled. */
        res = task_interrupt(host);
    }
    Py_XDECREF(host);
    return res;
}

PyDoc_STRVAR(CancelScope__spawn__doc__,
"_spawn($self, errors, create_task, /, *args, **kwargs)\n"
"--\n"
"\n"
"Call *create_task*; the task it makes hangs below this scope.\n"
"\n"
"A foreign kind of task cannot; it is given to the group.  For *errors*\n"
"see _spawn_background().");

static int
parse_errors(PyObject *obj, task_errors_mode *errors)
{
    if (Py_IsNone(obj)) {
        *errors = ERRORS_HAND_ON;
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

static void
task_set_errors(TaskObj *task, task_errors_mode errors)
{
    Py_BEGIN_CRITICAL_SECTION(task);
    task->task_errors = errors;
    Py_END_CRITICAL_SECTION();
}

/* Call args[1]() with the rest of the arguments for a task below `scope`, or
   below the root of its loop if that is NULL; args[0] is what becomes of its
   exception.  *ours tells if the task, which is returned, is in the tree. */
static PyObject *
spawn(asyncio_state *state, CancelScopeObj *scope, PyObject *const *args,
      Py_ssize_t nargs, PyObject *kwnames, bool *ours)
{
    spawning_state mine = {.state = state, .scope = scope};
    if (nargs < 2) {
        PyErr_SetString(PyExc_TypeError, "errors and create_task are needed");
        return NULL;
    }
    if (parse_errors(args[0], &mine.errors) < 0) {
        return NULL;
    }
    spawning_state *outer = spawning;
    spawning = &mine;
    PyObject *task = PyObject_Vectorcall(args[1], args + 2, nargs - 2, kwnames);
    spawning = outer;

    *ours = task != NULL && Task_Check(state, task);
    if (task == mine.taker) {
        *ours = *ours && !mine.refused;
        Py_XDECREF(mine.taker);
        return task;
    }
    PyObject *error = PyErr_GetRaisedException();
    int res = 0;
    if (mine.taker != NULL && !Task_Check(state, mine.taker)) {
        PyObject *settle = cancelscopes_attr("_settle");
        PyObject *none = settle == NULL ? NULL : PyObject_CallFunctionObjArgs(
            settle, mine.taker, task == NULL ? Py_None : task, args[0], NULL);
        Py_XDECREF(settle);
        Py_XDECREF(none);
        res = none == NULL ? -1 : 0;
    }
    else if (mine.taker != NULL
             && ((TaskObj *)mine.taker)->task_state == STATE_PENDING)
    {
        /* The factory made a task of its own first, or has failed since.  A
           foreign task that it has returned may be a wrapper of it. */
        TaskObj *taker = (TaskObj *)mine.taker;
        task_set_errors(taker, task == NULL || *ours ? ERRORS_PROPAGATE
                                                     : ERRORS_HAND_ON);
        if (scope != NULL) {
            res = task_move(state, taker, NULL, false);
        }
    }
    if (*ours && ((TaskObj *)task)->task_state == STATE_PENDING) {
        if (scope == NULL) {
            task_set_errors((TaskObj *)task, mine.errors);
        }
        else if (res == 0) {
            res = task_move(state, (TaskObj *)task, scope, false);
            *ours = res == 0;
            if (*ours) {
                task_set_errors((TaskObj *)task, mine.errors);
            }
        }
    }
    if (res < 0) {
        keep_error(&error);
    }
    Py_XDECREF(mine.taker);
    if (error != NULL) {
        Py_CLEAR(task);
        PyErr_SetRaisedException(error);
    }
    return task;
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
    if (self->cs_twin != NULL) {
        return PyObject_CallMethod(self->cs_twin, "adopt", "(O)", task);
    }
    asyncio_state *state = scope_module_state(self);
    tree_lock(&self->cs_node);
    bool is_active = self->cs_state == SCOPE_ACTIVE;
    tree_unlock(&self->cs_node);
    if (!is_active) {
        PyErr_SetString(PyExc_RuntimeError, scope_not_active);
        return NULL;
    }
    if (!Task_Check(state, task)
        || ((TaskObj *)task)->task_own_scope.host == NULL)
    {
        return PyErr_Format(PyExc_TypeError,
                            "adopt() takes an asyncio.Task, not %T", task);
    }
    if (scope_check_thread(self) < 0) {
        return NULL;
    }
#ifdef Py_GIL_DISABLED
    /* For task_group_scope(). */
    _PyObject_SetMaybeWeakref((PyObject *)self);
#endif
    TaskObj *moved = (TaskObj *)task;
    tree_lock(&self->cs_node);
    const char *problem = self->cs_state != SCOPE_ACTIVE ? scope_not_active
        : moved->task_state != STATE_PENDING ? "The task is done"
        : !scope_belongs_to(self, moved->task_loop)
        ? "The task belongs to another event loop than this CancelScope"
        : "This CancelScope is inside the task, which cannot be below it";
    tree_unlock(&self->cs_node);
    int res = moved->task_state != STATE_PENDING ? 1
        : task_move(state, moved, self, true);
    if (res > 0) {
        PyErr_SetString(PyExc_RuntimeError, problem);
        return NULL;
    }
    if (res < 0 || scope_note_awaiter(self, state, moved) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
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

static PyObject *
CancelScope__spawn(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    PyObject *twin;
    Py_BEGIN_CRITICAL_SECTION(op);
    twin = Py_XNewRef(self->cs_twin);
    Py_END_CRITICAL_SECTION();
    if (twin != NULL) {
        PyObject *spawn = PyObject_GetAttrString(twin, "_spawn");
        Py_DECREF(twin);
        if (spawn == NULL) {
            return NULL;
        }
        PyObject *res = PyObject_Vectorcall(spawn, args, nargs, kwnames);
        Py_DECREF(spawn);
        return res;
    }
    tree_lock(&self->cs_node);
    bool is_active = self->cs_state == SCOPE_ACTIVE;
    tree_unlock(&self->cs_node);
    if (!is_active) {
        PyErr_SetString(PyExc_RuntimeError, scope_not_active);
        return NULL;
    }
    asyncio_state *state = scope_module_state(self);
    bool ours;
    PyObject *task = spawn(state, self, args, nargs, kwnames, &ours);
    if (task == NULL) {
        return NULL;
    }
    int res = 0;
    if (!ours) {
        res = group_call(self, "_add_foreign", task, args[0]);
    }
    else {
        res = scope_note_awaiter(self, state, (TaskObj *)task);
    }
    if (res < 0) {
        Py_CLEAR(task);
    }
    return task;
}

/* Do what create_task(coro, ...) does; or return NULL without an exception if
   asyncio.cancelscopes has to do it: the arguments are unusual, or the scope is
   not active. */
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
    if (create_task == NULL) {
        Py_DECREF(loop);
        return NULL;
    }
    stack[0] = Py_None;  /* The awaiter of the task gets its exception. */
    stack[1] = create_task;
    stack[2] = args[0];
    PyObject *task = CancelScope__spawn(op, stack, 3, kwnames);
    Py_DECREF(create_task);
    if (task != NULL && !Task_Check(scope_module_state(self), task)) {
        PyObject *add = cancelscopes_attr("_add_external");
        PyObject *none = add == NULL ? NULL : PyObject_CallFunctionObjArgs(
            add, op, loop, task, Py_None, NULL);
        Py_XDECREF(add);
        if (none == NULL) {
            Py_CLEAR(task);
        }
        Py_XDECREF(none);
    }
    Py_DECREF(loop);
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
    Py_ssize_t total = nargs
        + (kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames));
    PyObject **stack = PyMem_New(PyObject *, total + 1);
    if (stack == NULL) {
        PyErr_NoMemory();
    }
    else {
        stack[0] = op;
        for (Py_ssize_t i = 0; i < total; i++) {
            stack[i + 1] = args[i];
        }
        res = PyObject_Vectorcall(create, stack, nargs + 1, kwnames);
        PyMem_Free(stack);
    }
    Py_DECREF(create);
    return res;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._set_group

    group: object
    /

Tell *group* from now on what becomes of the members.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__set_group_impl(CancelScopeObj *self, PyObject *group)
/*[clinic end generated code: output=5d3ba35674bd83b7 input=f44a9a3418ba114d]*/
{
#ifdef Py_GIL_DISABLED
    /* For task_group_scope() and hosts_append(). */
    _PyObject_SetMaybeWeakref((PyObject *)self);
#endif
    PyObject *twin = scope_lock_or_twin(self);
    if (twin != NULL) {
        PyObject *res = PyObject_CallMethod(twin, "_set_group", "(O)", group);
        Py_DECREF(twin);
        return res;
    }
    PyObject *old = self->cs_group;
    self->cs_group = Py_NewRef(group);
    tree_unlock(&self->cs_node);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._weaken_group

From now on the scope does not keep its group alive.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__weaken_group_impl(CancelScopeObj *self)
/*[clinic end generated code: output=41ef85dba3638cca input=7690f706cd105daf]*/
{
    PyObject *weak = NULL;
    if (self->cs_twin != NULL) {
        PyObject *res = PyObject_CallMethod(self->cs_twin, "_weaken_group",
                                            NULL);
        if (res == NULL) {
            return NULL;
        }
        Py_DECREF(res);
    }
    else if (self->cs_group == NULL || PyWeakref_Check(self->cs_group)) {
        Py_RETURN_NONE;     /* It is told again, after an interrupt. */
    }
    else {
        weak = PyWeakref_NewRef(self->cs_group, NULL);
        if (weak == NULL) {
            return NULL;
        }
    }
    tree_lock(&self->cs_node);
    PyObject *old = self->cs_group;
    self->cs_group = weak;
    tree_unlock(&self->cs_node);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._group

The group of the scope, or None.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__group_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=a992aa1a363d9725 input=42bd73827b871a25]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttrString(self->cs_twin, "_group");
    }
    tree_lock(&self->cs_node);
    PyObject *ref = Py_XNewRef(self->cs_group);
    tree_unlock(&self->cs_node);
    PyObject *group = resolve_group(ref);
    Py_XDECREF(ref);
    return group == NULL ? Py_NewRef(Py_None) : group;
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
    if (self->cs_twin != NULL) {
        return PyObject_GetAttrString(self->cs_twin, "_outer_group");
    }
    tree_lock(&self->cs_node);
    CancelScopeObj *scope = scope_find_group(self->cs_node.parent);
    PyObject *ref = scope == NULL ? NULL : Py_XNewRef(scope->cs_group);
    tree_unlock(&self->cs_node);
    PyObject *group = resolve_group(ref);
    Py_XDECREF(ref);
    Py_XDECREF(scope);
    return group == NULL ? Py_NewRef(Py_None) : group;
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
    if (self->cs_twin != NULL) {
        return PyObject_GetAttrString(self->cs_twin, "_loop");
    }
    PyObject *loop = scope_loop(self);
    return loop == NULL ? Py_NewRef(Py_None) : loop;
}

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
    if (self->cs_twin != NULL) {
        return PyObject_CallMethod(self->cs_twin, "_move_here", NULL);
    }
    TaskObj *task = current_c_task(scope_module_state(self));
    int moved = 0;
    if (task != NULL) {
        int closing = scope_is_closing(self, task);
        moved = closing != 0 ? Py_MIN(closing, 0)
                             : scope_move_here(self, task);
    }
    return moved < 0 ? NULL : PyBool_FromLong(moved);
}

/*[clinic input]
@critical_section
@getter
_asyncio.CancelScope._members

The number of tasks right below this scope that are not done.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__members_get_impl(CancelScopeObj *self)
/*[clinic end generated code: output=5d3341a72ea4a982 input=7ccdddac01f6f36b]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_GetAttrString(self->cs_twin, "_members");
    }
    tree_lock(&self->cs_node);
    Py_ssize_t members = self->cs_members;
    tree_unlock(&self->cs_node);
    return PyLong_FromSsize_t(members);
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._member_tasks

Return a list of the tasks right below this scope that are not done.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__member_tasks_impl(CancelScopeObj *self)
/*[clinic end generated code: output=36c390d72ee94a02 input=72cb8f3f98333adc]*/
{
    if (self->cs_twin != NULL) {
        return PyObject_CallMethod(self->cs_twin, "_member_tasks", NULL);
    }
    PyObject *tasks = PyList_New(0);
    if (tasks == NULL) {
        return NULL;
    }
    int res = 0;
    tree_lock(&self->cs_node);
    if (self->cs_members > 0) {
        struct llist_node *node;
        llist_for_each(node, &self->cs_node.children) {
            scope_node *child = llist_data(node, scope_node, siblings);
            if (child->is_member && hosts_append(&tasks, child->host) < 0) {
                res = -1;
                break;
            }
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

Have the group cancel its foreign tasks when this is cancelled.

If it is, return the message in a tuple.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__watch_impl(CancelScopeObj *self)
/*[clinic end generated code: output=8baab9b050f42cba input=343a6fb2c58b189a]*/
{
    PyObject *twin = scope_lock_or_twin(self);
    if (twin != NULL) {
        PyObject *res = PyObject_CallMethod(twin, "_watch", NULL);
        Py_DECREF(twin);
        return res;
    }
    self->cs_watched = 1;
    scope_node *cause = self->cs_node.tree_cause;
    PyObject *msg = cause == NULL ? NULL : scope_msg(cause);
    tree_unlock(&self->cs_node);
    if (msg == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(N)", msg);
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._plant

    loop: object
    /

Become the root of the tree of *loop*.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__plant_impl(CancelScopeObj *self, PyObject *loop)
/*[clinic end generated code: output=97334ae0848ee753 input=567e439e7d9ac129]*/
{
    asyncio_state *state = scope_module_state(self);
    scope_node *node = &self->cs_node;
    PyObject *origin = PyUnicode_FromString(
        "its scope is that of asyncio.run()");
    if (origin == NULL) {
        return NULL;
    }
    tree_lock(node);
    while (self->cs_state == SCOPE_NEW && !tree_assign(node, loop)) {
        /* Look again. */
    }
    if (self->cs_state != SCOPE_NEW) {
        tree_unlock(node);
        Py_DECREF(origin);
        PyErr_SetString(PyExc_RuntimeError, "only a new scope can be a root");
        return NULL;
    }
    self->cs_state = SCOPE_ACTIVE;
    self->cs_root_loop = Py_NewRef(loop);
    PyObject *old_origin = self->cs_origin;
    self->cs_origin = origin;
    scope_attach(node, NULL, NULL);
    llist_insert_tail(&state->registries[tree_of_loop(loop)].roots,
                      &node->siblings);
    tree_unlock(node);
    Py_XDECREF(old_origin);
    Py_RETURN_NONE;
}

/*[clinic input]
@critical_section
_asyncio.CancelScope._uproot

Be no root any more, and let go of what is below.
[clinic start generated code]*/

static PyObject *
_asyncio_CancelScope__uproot_impl(CancelScopeObj *self)
/*[clinic end generated code: output=6ce3ad187553b5d6 input=3f32762a258d2e8a]*/
{
    tree_lock(&self->cs_node);
    bool is_root = self->cs_root_loop != NULL;
    tree_unlock(&self->cs_node);
    if (is_root && scope_uproot(self) < 0) {
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
    if (self->cs_root_loop != NULL) {
        res = scope_disable_shields(&self->cs_node, &hosts);
    }
    tree_unlock(&self->cs_node);
    if (scope_finish_update(res, hosts) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
scope_repr_lock_held(CancelScopeObj *self)
{
    _Py_CRITICAL_SECTION_ASSERT_OBJECT_LOCKED(self);

    if (self->cs_twin != NULL) {
        return PyObject_Repr(self->cs_twin);
    }
    PyObject *repr = cancelscopes_attr("_scope_repr");
    if (repr == NULL) {
        return NULL;
    }
    tree_lock(&self->cs_node);
    PyObject *loop = self->cs_root_loop != NULL
        ? NULL : Py_XNewRef(scope_loop_lock_held(self));
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

/* Is it in the tree of a loop that has a root? */
static bool
scope_is_rooted(scope_node *node)
{
    while (node->parent != NULL) {
        node = node->parent;
    }
    return !node->is_task && scope_of_node(node)->cs_root_loop != NULL;
}

static int
CancelScope_traverse(PyObject *op, visitproc visit, void *arg)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->cs_node.msg);
    Py_VISIT(self->cs_twin);
    Py_VISIT(self->cs_deadlines);
    Py_VISIT(self->cs_group);
    Py_VISIT(self->cs_root_loop);
    Py_VISIT(self->cs_mark_token);
    Py_VISIT(self->cs_loop);
    /* Below a root, the tasks of a scope that goes away move up: they are no
       garbage with it. */
    if (self->cs_members > 0
        && !(self->cs_loop != NULL && scope_is_rooted(&self->cs_node)))
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

static int
CancelScope_clear(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    scope_node *node = &self->cs_node;
    PyObject *twin = self->cs_twin;
    self->cs_twin = NULL;
    tree_lock(node);
    bool has_no_host = self->cs_loop != NULL;
    tree_unlock(node);
    if (has_no_host) {
        PyObject *exc = PyErr_GetRaisedException();
        if (scope_leave(self, false) < 0) {
            PyErr_FormatUnraisable("Exception ignored while %R went away", op);
        }
        PyErr_SetRaisedException(exc);
    }
    tree_lock(node);
    PyObject *msg = node->msg, *group = self->cs_group;
    PyObject *origin = self->cs_origin;
    node->msg = self->cs_group = self->cs_origin = NULL;
    if (twin != NULL) {
        /* Without it there is nothing to be active in. */
        self->cs_state = SCOPE_DESTROYED;
    }
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
    Py_XDECREF(twin);
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
    tree_lock(&self->cs_node);
    bool is_root = self->cs_root_loop != NULL;
    bool is_in_tree = is_root || scope_is_entered(self);
    tree_unlock(&self->cs_node);
    if (is_in_tree) {
        /* Nobody can leave it any more, such as when the frame of a coroutine
           that refused to be closed goes away.  It must not stay in the tree,
           where it would be in the way of its host. */
        PyObject *exc = PyErr_GetRaisedException();
        if ((is_root ? scope_uproot(self) : scope_leave(self, false)) < 0) {
            PyErr_FormatUnraisable("Exception ignored while %R was "
                                   "deallocated", op);
        }
        PyErr_SetRaisedException(exc);
    }
    if (_PyObject_ResurrectEnd(op)) {
        return;
    }
    PyObject_GC_UnTrack(self);
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
    {"create_task", _PyCFunction_CAST(CancelScope_create_task),
     METH_FASTCALL | METH_KEYWORDS, CancelScope_create_task__doc__},
    _ASYNCIO_CANCELSCOPE_ADOPT_METHODDEF
    _ASYNCIO_CANCELSCOPE__MOVE_HERE_METHODDEF
    _ASYNCIO_CANCELSCOPE__WEAKEN_GROUP_METHODDEF
    _ASYNCIO_CANCELSCOPE__SET_GROUP_METHODDEF
    _ASYNCIO_CANCELSCOPE__MEMBER_TASKS_METHODDEF
    _ASYNCIO_CANCELSCOPE__WATCH_METHODDEF
    _ASYNCIO_CANCELSCOPE__PLANT_METHODDEF
    _ASYNCIO_CANCELSCOPE__UPROOT_METHODDEF
    _ASYNCIO_CANCELSCOPE__DISABLE_SHIELDS_METHODDEF
    {"_spawn", _PyCFunction_CAST(CancelScope__spawn),
     METH_FASTCALL | METH_KEYWORDS, CancelScope__spawn__doc__},
    {"__reduce__", CancelScope_reduce, METH_NOARGS, CancelScope_reduce__doc__},
    {NULL, NULL}        /* Sentinel */
};

static PyGetSetDef CancelScope_getsetlist[] = {
    _ASYNCIO_CANCELSCOPE_CANCEL_CALLED_GETSETDEF
    _ASYNCIO_CANCELSCOPE_CANCELLED_CAUGHT_GETSETDEF
    _ASYNCIO_CANCELSCOPE_CANCEL_MESSAGE_GETSETDEF
    _ASYNCIO_CANCELSCOPE_DEADLINE_EXPIRED_GETSETDEF
    _ASYNCIO_CANCELSCOPE_EFFECTIVELY_CANCELLED_GETSETDEF
    _ASYNCIO_CANCELSCOPE__OVERRULED_GETSETDEF
    _ASYNCIO_CANCELSCOPE__HAS_INTERRUPTED_GETSETDEF
    _ASYNCIO_CANCELSCOPE_CANCELS_TASKS_GETSETDEF
    _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF
    _ASYNCIO_CANCELSCOPE__OUTER_GROUP_GETSETDEF
    _ASYNCIO_CANCELSCOPE__LOOP_GETSETDEF
    _ASYNCIO_CANCELSCOPE__MEMBERS_GETSETDEF
    _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF
    _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF
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

static void
init_registries(asyncio_state *state)
{
    for (int tree = 0; tree < TREES; tree++) {
        llist_init(&state->registries[tree].roots);
        llist_init(&state->registries[tree].deadlines);
    }
}

/* The module goes away: what is in its lists may outlive it. */
static void
free_registries(asyncio_state *state)
{
    for (int tree = 0; tree < TREES; tree++) {
        scope_registry *registry = &state->registries[tree];
        if (registry->roots.next == NULL) {
            return;     /* It has never been executed. */
        }
        while (!llist_empty(&registry->roots)) {
            llist_remove(registry->roots.next);
        }
        while (!llist_empty(&registry->deadlines)) {
            llist_remove(registry->deadlines.next);
        }
    }
}

PyDoc_STRVAR(_spawn_background__doc__,
"_spawn_background($module, errors, create_task, /, *args, **kwargs)\n"
"--\n"
"\n"
"Call *create_task*; the task it makes treats its exception as told.\n"
"\n"
"*errors* is one of \"propagate\", \"log\" and None, which means that the\n"
"caller sees to it.");

static PyObject *
spawn_background(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    bool ours;
    return spawn(get_asyncio_state(module), NULL, args, nargs, kwnames, &ours);
}

/* What the pure-Python function of that name says of a task of its own kind. */
static PyObject *
ask_python(const char *name, PyObject *task)
{
    PyObject *func = cancelscopes_attr(name);
    PyObject *res = func == NULL ? NULL : PyObject_CallOneArg(func, task);
    Py_XDECREF(func);
    return res;
}

/*[clinic input]
_asyncio._is_cancelled

    task: object
    /

Tell if *task* is cancelled as a whole.
[clinic start generated code]*/

static PyObject *
_asyncio__is_cancelled(PyObject *module, PyObject *task)
/*[clinic end generated code: output=220a908d52a526ef input=3470537bc3df0ca8]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        return ask_python("_py_is_cancelled", task);
    }
    scope_node *own = &((TaskObj *)task)->task_own_scope;
    return PyBool_FromLong(FT_ATOMIC_LOAD_PTR_RELAXED(own->cause) != NULL);
}

/*[clinic input]
_asyncio._was_interrupted

    task: object
    /

Tell if a cancellation from outside *task* has interrupted its coroutine.

Whether the coroutine let the CancelledError pass does not matter, nor does
whether *task* is done.
[clinic start generated code]*/

static PyObject *
_asyncio__was_interrupted(PyObject *module, PyObject *task)
/*[clinic end generated code: output=f7fc97c247fc2667 input=6bfdfa18fe7fe376]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        return ask_python("_py_was_interrupted", task);
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
        return ask_python("_py_cancel_requests", task);
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
    msg: object
    /

Interrupt one await of *task*, which counts as a request through cancel().
[clinic start generated code]*/

static PyObject *
_asyncio__cancel_once_impl(PyObject *module, PyObject *task, PyObject *msg)
/*[clinic end generated code: output=3d9cfb95b9f5e6cc input=5fa61f0192d8b4fa]*/
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

What was thrown into *task* has ended rightly.
[clinic start generated code]*/

static PyObject *
_asyncio__forget_delivery(PyObject *module, PyObject *task)
/*[clinic end generated code: output=2df3fa136a0a1fcf input=8a258c247868928e]*/
{
    if (!Task_Check(get_asyncio_state(module), task)) {
        return ask_python("_py_forget_delivery", task);
    }
    Py_BEGIN_CRITICAL_SECTION(task);
    task_forget_delivery((TaskObj *)task, NULL);
    Py_END_CRITICAL_SECTION();
    Py_RETURN_NONE;
}

/*[clinic input]
_asyncio._take_errors

    task: object
    /

Return what is to become of the exception of *task*, which is being made.

It is one of another kind than Task.
[clinic start generated code]*/

static PyObject *
_asyncio__take_errors(PyObject *module, PyObject *task)
/*[clinic end generated code: output=6b2a7af91fa6a8c7 input=48ce56c51bc59858]*/
{
    spawning_state *asked = spawning;
    if (asked == NULL || asked->state != get_asyncio_state(module)) {
        return PyUnicode_FromString("propagate");
    }
    spawning = NULL;
    asked->taker = Py_NewRef(task);
    if (asked->scope != NULL || asked->errors == ERRORS_HAND_ON) {
        /* (The group sees to a task of another kind itself.) */
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(
        asked->errors == ERRORS_LOG ? "log" : "propagate");
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
    double seconds;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(delay, "delay", &seconds) < 0) {
        return NULL;
    }
    CancelScopeObj *self = cancel_scope_new(
        get_asyncio_state(module)->CancelScopeType, seconds, shielded);
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
    return (PyObject *)cancel_scope_new(
        get_asyncio_state(module)->CancelScopeType, seconds, shielded);
}

/*[clinic input]
_asyncio._movable_scope

    deadline: object = None
    shield: object = False
    /

Return a CancelScope that any task may leave.
[clinic start generated code]*/

static PyObject *
_asyncio__movable_scope_impl(PyObject *module, PyObject *deadline,
                             PyObject *shield)
/*[clinic end generated code: output=0c782e1c5ad2fd37 input=97e56a84d617d4d4]*/
{
    double when;
    int shielded = parse_shield(shield);
    if (shielded < 0 || parse_deadline(deadline, "deadline", &when) < 0) {
        return NULL;
    }
    CancelScopeObj *self = cancel_scope_new(
        get_asyncio_state(module)->CancelScopeType, when, shielded);
    if (self != NULL) {
        self->cs_movable = 1;
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
        if (found->task_own_scope.host == NULL) {
            Py_RETURN_NONE;     /* It has not been initialized. */
        }
    }
    if (found == NULL) {
        return ask_python("_py_current_scope", task);
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
        PyObject *func = cancelscopes_attr("_py_shielding_scope");
        PyObject *res = func == NULL ? NULL : PyObject_CallNoArgs(func);
        Py_XDECREF(func);
        return res;
    }
    scope_node *own = &task->task_own_scope;
    PyObject *scope = NULL;
    tree_lock(own);
    /* Also one of another task, which this one is below. */
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
        PyObject *func = cancelscopes_attr("_py_current_effective_deadline");
        if (func == NULL) {
            return NULL;
        }
        PyObject *res = PyObject_CallNoArgs(func);
        Py_DECREF(func);
        return res;
    }
    if (task_is_cancelled(task)) {
        return PyFloat_FromDouble(-Py_INFINITY);
    }
    double earliest = Py_INFINITY;
    tree_lock(&task->task_own_scope);
    scope_node *node = task->task_scope;
    while (node != NULL) {
        if (!node->is_task) {
            double deadline = scope_of_node(node)->cs_deadline;
            earliest = Py_MIN(earliest, deadline);
        }
        node = node->shield ? NULL : node->parent;
    }
    tree_unlock(&task->task_own_scope);
    return PyFloat_FromDouble(earliest);
}
