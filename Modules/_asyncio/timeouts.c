/* Timeouts: the type Timeout, and the functions that make one.

   Included by _asynciomodule.c.  Lib/asyncio/timeouts.py is the same in
   Python, with the documentation; what that does in a task of the C
   implementation is done here without a frame of Python. */

/*[clinic input]
module _asyncio
class _asyncio.Timeout "TimeoutObj *" "clinic_state()->TimeoutType"
[clinic start generated code]*/
/*[clinic end generated code: output=da39a3ee5e6b4b0d input=fafc5c5b9afff20d]*/

typedef enum {
    TIMEOUT_CREATED,
    TIMEOUT_ENTERED,
    TIMEOUT_EXITED,
} timeout_state;

/* What runs while it is entered can do anything to it, and so can another
   thread where a lock is waited for.  So references are taken to to_when and
   to_python before they are used.  to_scope stays once it is entered. */
typedef struct {
    PyObject_HEAD
    PyObject *to_when;          /* the deadline as it was given.  Owned. */
    CancelScopeObj *to_scope;   /* made on entry, else NULL.  Owned. */
    /* The Timeout that does everything in its place, when it was entered in
       what is no task of the C implementation, else NULL.  Owned. */
    PyObject *to_python;
    timeout_state to_state;
    bool to_shield;
} TimeoutObj;

#define TimeoutObj_CAST(op) ((TimeoutObj *)(op))

/* What __aenter__() and __aexit__() return: it never has to wait, and does its
   work when it is awaited. */
typedef struct {
    PyObject_HEAD
    TimeoutObj *ts_timeout;     /* NULL when it was awaited.  Owned. */
    PyObject *ts_exc;           /* what ends the block, or None; NULL on
                                   entry.  Owned. */
} TimeoutStepObj;

#define TimeoutStepObj_CAST(op) ((TimeoutStepObj *)(op))

#include "clinic/timeouts.c.h"

static PyObject *
timeouts_attr(const char *name)
{
    return module_attr("asyncio.timeouts", name);
}

static PyObject *
timeout_new(PyTypeObject *type, PyObject *when, bool shield)
{
    TimeoutObj *self = (TimeoutObj *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->to_when = Py_NewRef(when);
        self->to_shield = shield;
    }
    return (PyObject *)self;
}

/* The arguments are for __init__(), which a subclass can override. */
static PyObject *
Timeout_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
            PyObject *Py_UNUSED(kwds))
{
    return timeout_new(type, Py_None, false);
}

/*[clinic input]
@critical_section
_asyncio.Timeout.__init__

    when: object
    *
    shield: object = False

Asynchronous context manager for cancelling overdue coroutines.

Use `timeout()` or `timeout_at()` rather than instantiating this class
directly.
[clinic start generated code]*/

static int
_asyncio_Timeout___init___impl(TimeoutObj *self, PyObject *when,
                               PyObject *shield)
/*[clinic end generated code: output=3819c9d92a2f456c input=dca751c3af1eb22c]*/
{
    int shielded = parse_shield(shield);
    if (shielded < 0) {
        return -1;
    }
    if (self->to_state != TIMEOUT_CREATED) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This Timeout has already been entered; it cannot be "
                        "initialized again");
        return -1;
    }
    Py_XSETREF(self->to_when, Py_NewRef(when));
    self->to_shield = shielded;
    Py_CLEAR(self->to_scope);   /* It has the deadline of before. */
    return 0;
}

static bool
timeout_has_expired(TimeoutObj *self)
{
    if (self->to_scope == NULL || self->to_state == TIMEOUT_CREATED) {
        return false;
    }
    tree_lock(&self->to_scope->cs_node);
    bool expired = self->to_scope->cs_expired;
    tree_unlock(&self->to_scope->cs_node);
    return expired;
}

/* Call a method of the Timeout that stands in for this one, with up to one
   argument. */
static PyObject *
timeout_call_python(TimeoutObj *self, const char *name, PyObject *arg)
{
    PyObject *python = Py_NewRef(self->to_python);
    PyObject *method = PyObject_GetAttrString(python, name);
    Py_DECREF(python);
    PyObject *res = method == NULL ? NULL
        : PyObject_CallFunctionObjArgs(method, arg, NULL);
    Py_XDECREF(method);
    return res;
}

/* As the enumeration in timeouts.py has them. */
static const char *
timeout_state_name(TimeoutObj *self)
{
    bool expired = timeout_has_expired(self);
    switch (self->to_state) {
    case TIMEOUT_CREATED:
        return "created";
    case TIMEOUT_ENTERED:
        return expired ? "expiring" : "active";
    case TIMEOUT_EXITED:
        return expired ? "expired" : "finished";
    }
    Py_UNREACHABLE();
}

/*[clinic input]
@critical_section
_asyncio.Timeout.when

Return the current deadline.
[clinic start generated code]*/

static PyObject *
_asyncio_Timeout_when_impl(TimeoutObj *self)
/*[clinic end generated code: output=0e1bead7486e95ac input=e77db178737ab0a4]*/
{
    /* (NULL if the garbage collector has cleared it.) */
    return Py_NewRef(self->to_when == NULL ? Py_None : self->to_when);
}

/*[clinic input]
@critical_section
_asyncio.Timeout.reschedule

    when: object

Reschedule the timeout.
[clinic start generated code]*/

static PyObject *
_asyncio_Timeout_reschedule_impl(TimeoutObj *self, PyObject *when)
/*[clinic end generated code: output=aa0b8e029891f0c7 input=6320dd990b7d83e6]*/
{
    if (self->to_python != NULL) {
        PyObject *res = timeout_call_python(self, "reschedule", when);
        if (res != NULL) {
            Py_XSETREF(self->to_when, Py_NewRef(when));
        }
        return res;
    }
    if (self->to_state == TIMEOUT_CREATED) {
        PyErr_SetString(PyExc_RuntimeError, "Timeout has not been entered");
        return NULL;
    }
    if (self->to_state == TIMEOUT_EXITED || timeout_has_expired(self)) {
        return PyErr_Format(PyExc_RuntimeError,
                            "Cannot change state of %s Timeout",
                            timeout_state_name(self));
    }
    if (_asyncio_CancelScope_deadline_set((PyObject *)self->to_scope, when,
                                          NULL) < 0)
    {
        return NULL;
    }
    Py_XSETREF(self->to_when, Py_NewRef(when));
    Py_RETURN_NONE;
}

/*[clinic input]
@critical_section
_asyncio.Timeout.expired

Is timeout expired during execution?
[clinic start generated code]*/

static PyObject *
_asyncio_Timeout_expired_impl(TimeoutObj *self)
/*[clinic end generated code: output=04ec78aa2fb80513 input=3286b7a6d984a944]*/
{
    if (self->to_python != NULL) {
        return timeout_call_python(self, "expired", NULL);
    }
    return PyBool_FromLong(timeout_has_expired(self));
}

static PyObject *
timeout_repr_lock_held(TimeoutObj *self)
{
    if (self->to_python != NULL) {
        return timeout_call_python(self, "__repr__", NULL);
    }
    const char *name = timeout_state_name(self);
    if (self->to_state != TIMEOUT_ENTERED || timeout_has_expired(self)) {
        return PyUnicode_FromFormat("<Timeout [%s]>", name);
    }
    PyObject *repr = timeouts_attr("_timeout_repr");
    PyObject *res = repr == NULL ? NULL
        : PyObject_CallFunction(repr, "sO", name, self->to_when);
    Py_XDECREF(repr);
    return res;
}

static PyObject *
Timeout_repr(PyObject *op)
{
    PyObject *res;
    Py_BEGIN_CRITICAL_SECTION(op);
    res = timeout_repr_lock_held(TimeoutObj_CAST(op));
    Py_END_CRITICAL_SECTION();
    return res;
}


/* ----- Entering and leaving ----- */

static PyObject *
timeout_step_new(TimeoutObj *timeout, PyObject *exc)
{
    asyncio_state *state = get_asyncio_state_by_def((PyObject *)timeout);
    TimeoutStepObj *step = PyObject_GC_New(TimeoutStepObj,
                                           state->TimeoutStepType);
    if (step != NULL) {
        step->ts_timeout = (TimeoutObj *)Py_NewRef(timeout);
        step->ts_exc = Py_XNewRef(exc);
        PyObject_GC_Track(step);
    }
    return (PyObject *)step;
}

/*[clinic input]
_asyncio.Timeout.__aenter__
[clinic start generated code]*/

static PyObject *
_asyncio_Timeout___aenter___impl(TimeoutObj *self)
/*[clinic end generated code: output=1ca6cdaa8d41473d input=c1632f06a3b5f6ed]*/
{
    return timeout_step_new(self, NULL);
}

PyDoc_STRVAR(Timeout_aexit__doc__,
"__aexit__($self, exc_type, exc_val, exc_tb)\n"
"--\n"
"\n");

static PyObject *
Timeout_aexit(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const char * const keywords[] = {
        "exc_type", "exc_val", "exc_tb", NULL,
    };
    static _PyArg_Parser parser = {
        .keywords = keywords,
        .fname = "__aexit__",
    };
    PyObject *buffer[3];
    args = _PyArg_UnpackKeywords(args, nargs, NULL, kwnames, &parser, 3, 3, 0,
                                 0, buffer);
    return args == NULL ? NULL
        : timeout_step_new(TimeoutObj_CAST(op), args[1]);
}

/* Run a coroutine function of the Timeout that stands in for this one; its
   coroutine never has to wait. */
static PyObject *
timeout_run_python(TimeoutObj *self, PyObject *exc)
{
    PyObject *coro;
    if (exc == NULL) {
        coro = timeout_call_python(self, "__aenter__", NULL);
    }
    else {
        PyObject *python = Py_NewRef(self->to_python);
        PyObject *type = Py_IsNone(exc) ? Py_None : (PyObject *)Py_TYPE(exc);
        coro = PyObject_CallMethod(python, "__aexit__", "OOO", type, exc,
                                   Py_None);
        Py_DECREF(python);
    }
    if (coro == NULL) {
        return NULL;
    }
    PyObject *res = NULL;
    PySendResult what = PyIter_Send(coro, Py_None, &res);
    Py_DECREF(coro);
    if (what == PYGEN_NEXT) {
        Py_CLEAR(res);
        PyErr_SetString(PyExc_RuntimeError,
                        "__aenter__() and __aexit__() of a Timeout must not "
                        "wait");
    }
    return res;
}

static PyObject *
refuse_entry(void)
{
    PyErr_SetString(PyExc_RuntimeError, "Timeout has already been entered");
    return NULL;
}

/* The state was changed before, for a hostile clock can have called any method
   meanwhile; change it back if nothing could be entered. */
static PyObject *
timeout_entered(TimeoutObj *self, PyObject *entered)
{
    if (entered != NULL) {
        Py_DECREF(entered);
        return Py_NewRef(self);
    }
    if (self->to_state == TIMEOUT_ENTERED) {
        PyObject *error = PyErr_GetRaisedException();
        self->to_state = TIMEOUT_CREATED;
        Py_CLEAR(self->to_python);
        PyErr_SetRaisedException(error);
    }
    return NULL;
}

/* Enter it in what is no task of the C implementation. */
static PyObject *
timeout_enter_python(TimeoutObj *self)
{
    PyObject *when = _asyncio_Timeout_when_impl(self);
    PyObject *type = timeouts_attr("_PyTimeout");
    PyObject *timeout = type == NULL ? NULL
        : PyObject_CallOneArg(type, when);
    Py_XDECREF(type);
    Py_DECREF(when);
    if (timeout != NULL && self->to_shield
        && PyObject_SetAttrString(timeout, "_shield", Py_True) < 0)
    {
        Py_CLEAR(timeout);
    }
    if (timeout == NULL) {
        return NULL;
    }
    if (self->to_state != TIMEOUT_CREATED) {    /* That ran Python code. */
        Py_DECREF(timeout);
        return refuse_entry();
    }
    self->to_python = timeout;
    self->to_state = TIMEOUT_ENTERED;
    PyObject *entered = timeout_run_python(self, NULL);
    return timeout_entered(self, entered);
}

static int
timeout_make_scope(TimeoutObj *self, asyncio_state *state)
{
    double deadline;
    PyObject *when = _asyncio_Timeout_when_impl(self);
    int res = parse_deadline(when, "deadline", &deadline);
    Py_DECREF(when);
    if (res < 0) {
        return -1;
    }
    CancelScopeObj *scope = cancel_scope_new(state->CancelScopeType, deadline,
                                             self->to_shield);
    if (scope == NULL) {
        return -1;
    }
    scope->cs_movable = 1;
    if (self->to_scope == NULL) {
        self->to_scope = scope;
    }
    else {
        Py_DECREF(scope);       /* __float__() has had one made. */
    }
    return 0;
}

static PyObject *
timeout_enter(TimeoutObj *self)
{
    if (self->to_state != TIMEOUT_CREATED) {
        return refuse_entry();
    }
    asyncio_state *state = get_asyncio_state_by_def((PyObject *)self);
    if (current_c_task(state) == NULL) {
        return timeout_enter_python(self);
    }
    if (self->to_scope == NULL && timeout_make_scope(self, state) < 0) {
        return NULL;
    }
    if (self->to_state != TIMEOUT_CREATED) {    /* Because of __float__(). */
        return refuse_entry();
    }
    PyObject *scope = (PyObject *)self->to_scope;
    self->to_state = TIMEOUT_ENTERED;
    return timeout_entered(
        self, _asyncio_CancelScope___enter__(scope, NULL));
}

/* An error in response to the expiry keeps it in its chain. */
static int
timeout_note_expiry(PyObject *exc)
{
    PyObject *insert = timeouts_attr("_insert_timeout_errors");
    PyObject *none = insert == NULL ? NULL
        : PyObject_CallOneArg(insert, exc);
    Py_XDECREF(insert);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

/* Return true if the deadline has interrupted the block, and nothing else has
   cancelled it. */
static bool
timeout_has_interrupted(TimeoutObj *self)
{
    scope_node *node = &self->to_scope->cs_node;
    tree_lock(node);
    bool res = self->to_scope->cs_expired && node->interrupted
        && !node->host_requested && scope_outer_canceller(node) == NULL;
    tree_unlock(node);
    return res;
}

static PyObject *
timeout_exit(TimeoutObj *self, PyObject *exc)
{
    if (self->to_state != TIMEOUT_ENTERED) {
        PyErr_SetString(PyExc_RuntimeError,
                        self->to_state == TIMEOUT_CREATED
                            ? "Timeout has not been entered"
                            : "Timeout has already been left");
        return NULL;
    }
    self->to_state = TIMEOUT_EXITED;
    if (self->to_python != NULL) {
        return timeout_run_python(self, exc);
    }
    asyncio_state *state = get_asyncio_state_by_def((PyObject *)self);
    PyObject *error = NULL;
    if (!Py_IsNone(exc)
        && !PyErr_GivenExceptionMatches(exc, state->asyncio_CancelledError)
        && timeout_has_interrupted(self) && timeout_note_expiry(exc) < 0)
    {
        error = PyErr_GetRaisedException();     /* The scope is left first. */
    }
    PyObject *scope = (PyObject *)self->to_scope;
    /* What runs meanwhile can make another task the current one. */
    TaskObj *task = (TaskObj *)Py_XNewRef(current_c_task(state));
    PyObject *caught;
    Py_BEGIN_CRITICAL_SECTION(scope);
    caught = scope_exit_in((CancelScopeObj *)scope, task, exc);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(task);
    if (error != NULL) {
        if (caught == NULL) {
            _PyErr_ChainExceptions1(error);
        }
        else {
            Py_DECREF(caught);
            PyErr_SetRaisedException(error);
        }
        return NULL;
    }
    if (caught == NULL || Py_IsFalse(caught) || !timeout_has_expired(self)) {
        return caught;
    }
    Py_DECREF(caught);
    error = PyObject_CallNoArgs(PyExc_TimeoutError);
    if (error != NULL) {
        if (PyExceptionInstance_Check(exc)) {   /* Not a class. */
            PyException_SetCause(error, Py_NewRef(exc));
        }
        PyErr_SetObject(PyExc_TimeoutError, error);
        Py_DECREF(error);
    }
    return NULL;
}

/* As in a coroutine: a StopIteration would be taken for a result. */
static void
stop_iteration_is_error(void)
{
    _PyErr_FormatFromCause(PyExc_RuntimeError,
                           "coroutine raised StopIteration");
}

/* Raise what throw() was called with. */
static void
raise_thrown(PyObject *const *args, Py_ssize_t nargs)
{
    if (PyExceptionInstance_Check(args[0])) {
        PyErr_SetRaisedException(Py_NewRef(args[0]));
    }
    else if (PyExceptionClass_Check(args[0])) {
        PyErr_SetObject(args[0], nargs > 1 ? args[1] : NULL);
    }
    else {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must be classes or instances deriving from "
                     "BaseException, not %T", args[0]);
    }
}

/* Enter or leave the timeout, and return what the await is to evaluate to. */
static PyObject *
timeout_step_run(TimeoutStepObj *self)
{
    TimeoutObj *timeout = NULL;
    PyObject *exc = NULL, *res;
    Py_BEGIN_CRITICAL_SECTION(self);
    timeout = self->ts_timeout;
    exc = self->ts_exc;
    self->ts_timeout = NULL;
    self->ts_exc = NULL;
    Py_END_CRITICAL_SECTION();
    if (timeout == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "__aenter__() or __aexit__() of a Timeout has already "
                        "been awaited");
        return NULL;
    }
    Py_BEGIN_CRITICAL_SECTION(timeout);
    res = exc == NULL ? timeout_enter(timeout) : timeout_exit(timeout, exc);
    Py_END_CRITICAL_SECTION();
    Py_DECREF(timeout);
    Py_XDECREF(exc);
    if (res == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
        stop_iteration_is_error();
    }
    return res;
}

static int
TimeoutStep_clear(PyObject *op)
{
    TimeoutStepObj *self = TimeoutStepObj_CAST(op);
    Py_CLEAR(self->ts_timeout);
    Py_CLEAR(self->ts_exc);
    return 0;
}

/* (No value is the same as None, and needs no StopIteration.) */
static PyObject *
TimeoutStep_iternext(PyObject *op)
{
    PyObject *res = timeout_step_run(TimeoutStepObj_CAST(op));
    if (res != NULL && !Py_IsFalse(res)) {
        (void)_PyGen_SetStopIterationValue(res);
    }
    Py_XDECREF(res);
    return NULL;
}

static PySendResult
TimeoutStep_am_send(PyObject *op, PyObject *Py_UNUSED(arg), PyObject **result)
{
    *result = timeout_step_run(TimeoutStepObj_CAST(op));
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PyObject *
TimeoutStep_send(PyObject *op, PyObject *Py_UNUSED(arg))
{
    PyObject *res = timeout_step_run(TimeoutStepObj_CAST(op));
    if (res != NULL) {
        (void)_PyGen_SetStopIterationValue(res);
        Py_DECREF(res);
    }
    return NULL;
}

static PyObject *
TimeoutStep_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (!_PyArg_CheckPositional("throw", nargs, 1, 3)) {
        return NULL;
    }
    Py_BEGIN_CRITICAL_SECTION(op);
    (void)TimeoutStep_clear(op);
    Py_END_CRITICAL_SECTION();
    raise_thrown(args, nargs);
    return NULL;
}

/* Nothing is entered or left. */
static PyObject *
TimeoutStep_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Py_BEGIN_CRITICAL_SECTION(op);
    (void)TimeoutStep_clear(op);
    Py_END_CRITICAL_SECTION();
    Py_RETURN_NONE;
}

static int
TimeoutStep_traverse(PyObject *op, visitproc visit, void *arg)
{
    TimeoutStepObj *self = TimeoutStepObj_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->ts_timeout);
    Py_VISIT(self->ts_exc);
    return 0;
}

static void
TimeoutStep_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)TimeoutStep_clear(op);
    PyObject_GC_Del(op);
    Py_DECREF(tp);
}

static PyMethodDef TimeoutStep_methods[] = {
    {"send", TimeoutStep_send, METH_O, NULL},
    {"throw", _PyCFunction_CAST(TimeoutStep_throw), METH_FASTCALL, NULL},
    {"close", TimeoutStep_close, METH_NOARGS, NULL},
    {NULL, NULL}        /* Sentinel */
};

static PyType_Slot TimeoutStep_slots[] = {
    {Py_tp_dealloc, TimeoutStep_dealloc},
    {Py_tp_traverse, TimeoutStep_traverse},
    {Py_tp_clear, TimeoutStep_clear},
    {Py_tp_methods, TimeoutStep_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, TimeoutStep_iternext},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, TimeoutStep_am_send},
    {0, NULL},
};

static PyType_Spec TimeoutStep_spec = {
    .name = "_asyncio._TimeoutStep",
    .basicsize = sizeof(TimeoutStepObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE),
    .slots = TimeoutStep_slots,
};


/* ----- The type ----- */

static int
Timeout_traverse(PyObject *op, visitproc visit, void *arg)
{
    TimeoutObj *self = TimeoutObj_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->to_when);
    Py_VISIT(self->to_scope);
    Py_VISIT(self->to_python);
    return PyObject_VisitManagedDict(op, visit, arg);
}

static int
Timeout_clear(PyObject *op)
{
    TimeoutObj *self = TimeoutObj_CAST(op);
    Py_CLEAR(self->to_when);
    Py_CLEAR(self->to_scope);
    Py_CLEAR(self->to_python);
    PyObject_ClearManagedDict(op);
    return 0;
}

static void
Timeout_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    PyObject_ClearWeakRefs(op);
    (void)Timeout_clear(op);
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyObject *
Timeout_get_scope(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *res;
    Py_BEGIN_CRITICAL_SECTION(op);
    TimeoutObj *self = TimeoutObj_CAST(op);
    if (self->to_python != NULL) {
        PyObject *python = Py_NewRef(self->to_python);
        res = PyObject_GetAttrString(python, "_scope");
        Py_DECREF(python);
    }
    else {
        /* (Before entry that is for tests, and for tasks in C.) */
        asyncio_state *state = get_asyncio_state_by_def(op);
        res = self->to_scope == NULL && timeout_make_scope(self, state) < 0
            ? NULL : Py_NewRef(self->to_scope);
    }
    Py_END_CRITICAL_SECTION();
    return res;
}

static PyGetSetDef Timeout_getsetlist[] = {
    {"_scope", Timeout_get_scope, NULL,
     PyDoc_STR("The CancelScope of the block, made on entry.")},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    {NULL} /* Sentinel */
};

static PyMethodDef Timeout_methods[] = {
    _ASYNCIO_TIMEOUT_WHEN_METHODDEF
    _ASYNCIO_TIMEOUT_RESCHEDULE_METHODDEF
    _ASYNCIO_TIMEOUT_EXPIRED_METHODDEF
    _ASYNCIO_TIMEOUT___AENTER___METHODDEF
    {"__aexit__", _PyCFunction_CAST(Timeout_aexit),
     METH_FASTCALL | METH_KEYWORDS, Timeout_aexit__doc__},
    {NULL, NULL}        /* Sentinel */
};

static PyType_Slot Timeout_slots[] = {
    {Py_tp_dealloc, Timeout_dealloc},
    {Py_tp_repr, Timeout_repr},
    {Py_tp_doc, (void *)_asyncio_Timeout___init____doc__},
    {Py_tp_traverse, Timeout_traverse},
    {Py_tp_clear, Timeout_clear},
    {Py_tp_methods, Timeout_methods},
    {Py_tp_getset, Timeout_getsetlist},
    {Py_tp_new, Timeout_new},
    {Py_tp_init, _asyncio_Timeout___init__},
    {0, NULL},
};

static PyType_Spec Timeout_spec = {
    .name = "_asyncio.Timeout",
    .basicsize = sizeof(TimeoutObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF),
    .slots = Timeout_slots,
};


/* ----- Functions ----- */

/*[clinic input]
_asyncio.timeout_at

    when: object
    *
    shield: object = False

Schedule the timeout at absolute time.

Like timeout() but argument gives absolute time in the same clock system
as loop.time().

Please note: it is not POSIX time but a time with
undefined starting base, e.g. the time of the system power on.

>>> async with asyncio.timeout_at(loop.time() + 10):
...     await long_running_task()

when - a deadline when timeout occurs or None to disable timeout logic
shield - keep cancellation from outside away from the block

long_running_task() is interrupted by raising asyncio.CancelledError,
the top-most affected timeout() context manager converts CancelledError
into TimeoutError.
[clinic start generated code]*/

static PyObject *
_asyncio_timeout_at_impl(PyObject *module, PyObject *when, PyObject *shield)
/*[clinic end generated code: output=3cc9af92710e0c3d input=7ae449a0f58da621]*/
{
    int shielded = parse_shield(shield);
    return shielded < 0 ? NULL
        : timeout_new(get_asyncio_state(module)->TimeoutType, when, shielded);
}

/* The time at which `delay` is over. */
static PyObject *
time_after(asyncio_state *state, PyObject *loop, PyObject *delay)
{
    double now;
    if (loop_time(state, loop, &now) < 0) {
        return NULL;
    }
    if (PyFloat_CheckExact(delay)) {
        return PyFloat_FromDouble(now + PyFloat_AS_DOUBLE(delay));
    }
    PyObject *time = PyFloat_FromDouble(now);
    PyObject *res = time == NULL ? NULL : PyNumber_Add(time, delay);
    Py_XDECREF(time);
    return res;
}

/*[clinic input]
_asyncio.timeout

    delay: object
    *
    shield: object = False

Timeout async context manager.

Useful in cases when you want to apply timeout logic around block
of code or in cases when asyncio.wait_for is not suitable. For example:

>>> async with asyncio.timeout(10):  # 10 seconds timeout
...     await long_running_task()

delay - value in seconds or None to disable timeout logic
shield - keep cancellation from outside away from the block

long_running_task() is interrupted by raising asyncio.CancelledError,
the top-most affected timeout() context manager converts CancelledError
into TimeoutError.
[clinic start generated code]*/

static PyObject *
_asyncio_timeout_impl(PyObject *module, PyObject *delay, PyObject *shield)
/*[clinic end generated code: output=9e8e857258984cfb input=a27685ebdce0a6cf]*/
{
    PyObject *loop = _asyncio_get_running_loop_impl(module);
    if (loop == NULL) {
        return NULL;
    }
    PyObject *when = Py_IsNone(delay) ? Py_NewRef(delay)
        : time_after(get_asyncio_state(module), loop, delay);
    Py_DECREF(loop);
    PyObject *res = when == NULL ? NULL
        : _asyncio_timeout_at_impl(module, when, shield);
    Py_XDECREF(when);
    return res;
}
