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
    "unentered", "active", "left", "abandoned", "destroyed",
};

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
    scope_node *node = &self->cs_node;
    if (self->cs_deadline == Py_INFINITY
        || (node->requested && !self->cs_relative))
    {
        return 0;
    }
    double now;
    PyObject *loop = Py_NewRef(node->host->task_loop);
    int res = loop_time(loop, &now);
    /* A hostile time() may have done anything to the scope. */
    if (res == 0 && self->cs_state == SCOPE_ACTIVE) {
        if (self->cs_relative) {
            self->cs_relative = 0;
            self->cs_deadline += now;
        }
        if (!node->requested && self->cs_deadlines == NULL) {
            if (self->cs_deadline <= now) {
                res = scope_request(self, NULL, true);
            }
            else {
                res = deadlines_add(get_asyncio_state_by_cls(Py_TYPE(self)),
                                    self, loop);
            }
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
    PyObject *hosts = NULL;

    deadlines_remove(self);
    self->cs_state = SCOPE_LEFT;
    int res = scope_detach(node, parent, &hosts);
    if (task->task_scope == node) {
        task->task_scope = parent;
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
    PyObject *make = cancelscopes_attr("_make_twin");
    if (make == NULL) {
        return NULL;
    }
    PyObject *deadline = deadline_as_object(self->cs_deadline);
    PyObject *twin = NULL;
    if (deadline != NULL) {
        twin = PyObject_CallFunction(
            make, "OOOOO", deadline,
            self->cs_relative ? Py_True : Py_False,
            self->cs_node.shield ? Py_True : Py_False,
            self->cs_node.requested ? Py_True : Py_False,
            self->cs_node.msg == NULL ? Py_None : self->cs_node.msg);
        Py_DECREF(deadline);
    }
    Py_DECREF(make);
    if (twin == NULL) {
        return NULL;
    }
    self->cs_state = SCOPE_ACTIVE;
    Py_XSETREF(self->cs_twin, twin);
    PyObject *res = PyObject_CallMethodNoArgs(twin, &_Py_ID(__enter__));
    if (res == NULL) {
        Py_CLEAR(self->cs_twin);
        self->cs_state = SCOPE_NEW;
        return NULL;
    }
    Py_DECREF(res);
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
    /* First of all, for what follows may run Python code. */
    self->cs_state = SCOPE_ACTIVE;
    scope_attach(&self->cs_node, task->task_scope, task);
    task->task_scope = &self->cs_node;
    if (scope_arm(self) < 0) {
        if (self->cs_state == SCOPE_ACTIVE && scope_leave(self) < 0) {
            return NULL;
        }
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
    /* A subclass can return anything. */
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "%T.split() must return a pair, not %T",
                     group, pair);
        Py_DECREF(pair);
        return -1;
    }
    PyObject *matched = PyTuple_GET_ITEM(pair, 0);
    PyObject *rest = PyTuple_GET_ITEM(pair, 1);
    if (!Py_IsNone(rest) && !PyExceptionInstance_Check(rest)) {
        PyErr_Format(PyExc_TypeError, "%T.split() must return exceptions or "
                     "None, not %T", group, rest);
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
        double now;
        PyObject *loop = Py_NewRef(self->cs_node.host->task_loop);
        int res = loop_time(loop, &now);
        Py_DECREF(loop);
        if (res == 0 && self->cs_state == SCOPE_ACTIVE
            && !self->cs_node.requested && self->cs_deadline <= now)
        {
            res = scope_request(self, NULL, true);
        }
        if (res < 0) {
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

/* May a task that its factory has not just made hang below the node?  Not if it
   hangs elsewhere, nor if the node hangs below it. */
static bool
scope_can_adopt(scope_node *node, TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    if (own->host == NULL || own->parent != NULL) {
        return false;
    }
    for (; node != NULL; node = node->parent) {
        if (node == own) {
            return false;
        }
    }
    return true;
}

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
    spawning_state *outer = spawning;
    spawning_state mine = {.scope = self};
    spawning = &mine;
    PyObject *task = PyObject_Vectorcall(args[0], args + 1, nargs - 1, kwnames);
    spawning = outer;

    bool ours = task != NULL
        && Task_Check(get_asyncio_state_by_cls(Py_TYPE(self)), task);
    int res = 0;
    if (task != (PyObject *)mine.taker) {
        /* The factory made a task of its own first, or has failed since. */
        PyObject *error = PyErr_GetRaisedException();
        if (mine.taker != NULL && mine.taker->task_state == STATE_PENDING) {
            res = task_move(mine.taker, NULL);
        }
        if (ours && ((TaskObj *)task)->task_state == STATE_PENDING) {
            ours = res == 0 && self->cs_state == SCOPE_ACTIVE
                && scope_can_adopt(&self->cs_node, (TaskObj *)task);
            if (ours) {
                res = task_move((TaskObj *)task, &self->cs_node);
            }
        }
        if (error != NULL) {
            PyErr_SetRaisedException(error);
        }
    }
    Py_XDECREF(mine.taker);
    if (task == NULL || res < 0) {
        Py_XDECREF(task);
        return NULL;
    }
    return Py_BuildValue("NO", task, ours ? Py_True : Py_False);
}

static PyObject *
CancelScope_repr(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    if (self->cs_twin != NULL) {
        return PyObject_Repr(self->cs_twin);
    }
    PyObject *repr = cancelscopes_attr("_scope_repr");
    if (repr == NULL) {
        return NULL;
    }
    PyObject *deadline = deadline_as_object(self->cs_deadline);
    PyObject *res = NULL;
    if (deadline != NULL) {
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
    Py_DECREF(repr);
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
    return 0;
}

static int
CancelScope_clear(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    Py_CLEAR(self->cs_node.msg);
    if (self->cs_twin != NULL) {
        /* Without it there is nothing to be active in. */
        self->cs_state = SCOPE_DESTROYED;
        Py_CLEAR(self->cs_twin);
    }
    return 0;
}

static void
CancelScope_dealloc(PyObject *op)
{
    CancelScopeObj *self = CancelScope_CAST(op);
    PyTypeObject *tp = Py_TYPE(self);
    if (self->cs_node.host != NULL) {
        /* Nobody can leave it any more, such as when the frame of a coroutine
           that refused to be closed goes away.  It must not stay in the tree,
           where it would be in the way of its host. */
        _PyObject_ResurrectStart(op);
        PyObject *exc = PyErr_GetRaisedException();
        if (scope_leave(self) < 0) {
            PyErr_FormatUnraisable("Exception ignored while %R was "
                                   "deallocated", op);
        }
        PyErr_SetRaisedException(exc);
        if (_PyObject_ResurrectEnd(op)) {
            return;
        }
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
            double deadline = scope_of_node(node)->cs_deadline;
            earliest = Py_MIN(earliest, deadline);
        }
        node = node->shield ? NULL : node->parent;
    }
    return PyFloat_FromDouble(earliest);
}
