/* What shield() returns for a coroutine.

   Included by _asynciomodule.c.  Lib/asyncio/_shields.py is the same in Python
   and says how it is meant. */

typedef enum {
    SHIELDED_NEW,
    SHIELDED_RUNNING,           /* between two of its yields, too */
    SHIELDED_DONE,
} shielded_state;

typedef struct {
    PyObject_HEAD
    PyObject *sh_awaitable;     /* until it is awaited.  Owned. */
    PyObject *sh_iterator;      /* of that; while it runs.  Owned. */
    CancelScopeObj *sh_scope;   /* entered while it runs; NULL: the iterator
                                   is one that does everything.  Owned. */
    shielded_state sh_state;
    bool sh_busy;               /* it is being sent something */
} ShieldedCallObj;

#define ShieldedCallObj_CAST(op) ((ShieldedCallObj *)(op))

static PyObject *
shields_attr(const char *name)
{
    return module_attr("asyncio._shields", name);
}

PyDoc_STRVAR(ShieldedCall__doc__,
"ShieldedCall(awaitable, /)\n"
"--\n"
"\n"
"What shield() returns for a coroutine: await it once.");

static PyObject *
ShieldedCall_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf,
                        PyObject *kwnames)
{
    PyTypeObject *tp = (PyTypeObject *)type;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0) {
        PyErr_SetString(PyExc_TypeError,
                        "ShieldedCall() takes no keyword arguments");
        return NULL;
    }
    if (!_PyArg_CheckPositional("ShieldedCall", nargs, 1, 1)) {
        return NULL;
    }
    ShieldedCallObj *self = (ShieldedCallObj *)tp->tp_alloc(tp, 0);
    if (self != NULL) {
        self->sh_awaitable = Py_NewRef(args[0]);
    }
    return (PyObject *)self;
}

/* As `await` does, refuse a coroutine that waits for something. */
static bool
is_awaited_elsewhere(PyObject *coro)
{
    PyObject *awaited = _PyGen_yf((PyGenObject *)coro);
    Py_XDECREF(awaited);
    return awaited != NULL;
}

/* Enter the scope, in the task that awaits it. */
static int
shielded_start(ShieldedCallObj *self)
{
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    PyObject *awaitable = self->sh_awaitable;
    CancelScopeObj *scope = NULL;
    self->sh_awaitable = NULL;
    self->sh_state = SHIELDED_DONE;
    if (current_c_task(state) == NULL) {
        PyObject *func = shields_attr("_run_shielded");
        PyObject *coro = func == NULL ? NULL
            : PyObject_CallOneArg(func, awaitable);
        Py_XDECREF(func);
        Py_SETREF(awaitable, coro);
        if (coro == NULL) {
            return -1;
        }
    }
    else {
        scope = cancel_scope_new(state->CancelScopeType, Py_INFINITY, true);
        PyObject *entered = scope == NULL ? NULL
            : _asyncio_CancelScope___enter__((PyObject *)scope, NULL);
        if (entered == NULL) {
            Py_XDECREF(scope);
            Py_DECREF(awaitable);
            return -1;
        }
        Py_DECREF(entered);
    }
    self->sh_scope = scope;
    if (PyCoro_CheckExact(awaitable) && is_awaited_elsewhere(awaitable)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "coroutine is being awaited already");
    }
    else {
        self->sh_iterator = _PyCoro_GetAwaitableIter(awaitable);
    }
    self->sh_state = SHIELDED_RUNNING;
    Py_DECREF(awaitable);
    return 0;
}

/* It has ended with a value, which is released, or with an exception: leave
   the scope.  Return the value, or None if the scope takes the exception. */
static PyObject *
shielded_end(ShieldedCallObj *self, PyObject *value)
{
    if (value == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
        stop_iteration_is_error();
    }
    PyObject *exc = value == NULL ? PyErr_GetRaisedException() : NULL;
    CancelScopeObj *scope = self->sh_scope;
    PyObject *iterator = self->sh_iterator;
    self->sh_state = SHIELDED_DONE;
    self->sh_scope = NULL;
    self->sh_iterator = NULL;
    Py_XDECREF(iterator);
    if (scope == NULL) {
        PyErr_SetRaisedException(exc);
        return value;
    }
    TaskObj *task = (TaskObj *)Py_XNewRef(
        current_c_task(scope_module_state(scope)));
    PyObject *caught, *handled = NULL;
    if (exc != NULL) {
        /* It is the context of an error, as in a `with` statement. */
        handled = Py_XNewRef(PyThreadState_Get()->exc_info->exc_value);
        PyErr_SetHandledException(exc);
    }
    Py_BEGIN_CRITICAL_SECTION(scope);
    caught = scope_exit_in(scope, task, exc == NULL ? Py_None : exc);
    Py_END_CRITICAL_SECTION();
    if (exc != NULL) {
        PyErr_SetHandledException(handled);
        Py_XDECREF(handled);
    }
    Py_XDECREF(task);
    Py_DECREF(scope);
    if (caught == NULL) {
        Py_CLEAR(value);
        Py_XDECREF(exc);
        return NULL;
    }
    bool ends_here = Py_IsTrue(caught);
    Py_DECREF(caught);
    if (exc == NULL) {
        return value;
    }
    if (ends_here) {
        Py_DECREF(exc);
        Py_RETURN_NONE;
    }
    PyErr_SetRaisedException(exc);
    return NULL;
}

static PyObject *
refuse_second_await(void)
{
    PyObject *refuse = shields_attr("_refuse_second_await");
    PyObject *none = refuse == NULL ? NULL : PyObject_CallNoArgs(refuse);
    Py_XDECREF(refuse);
    Py_XDECREF(none);
    return NULL;
}

/* Return 0 if something can be sent; start it if need be. */
static int
shielded_prepare(ShieldedCallObj *self)
{
    if (self->sh_busy) {
        PyErr_SetString(PyExc_ValueError, "shield() is already executing");
        return -1;
    }
    if (self->sh_state == SHIELDED_DONE) {
        (void)refuse_second_await();
        return -1;
    }
    return self->sh_state == SHIELDED_NEW ? shielded_start(self) : 0;
}

static PySendResult
shielded_send_lock_held(ShieldedCallObj *self, PyObject *arg,
                        PyObject **result)
{
    *result = NULL;
    if (self->sh_state == SHIELDED_NEW && !Py_IsNone(arg)) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a "
                                         "just-started coroutine");
        return PYGEN_ERROR;
    }
    if (shielded_prepare(self) < 0) {
        return PYGEN_ERROR;
    }
    PyObject *iterator = Py_XNewRef(self->sh_iterator);
    PySendResult what = PYGEN_ERROR;
    if (iterator != NULL) {
        self->sh_busy = true;
        if (!Py_EnterRecursiveCall(" in shield()")) {
            what = PyIter_Send(iterator, arg, result);
            Py_LeaveRecursiveCall();
        }
        self->sh_busy = false;
        Py_DECREF(iterator);
    }
    if (what != PYGEN_NEXT) {
        *result = shielded_end(self, *result);
        what = *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
    }
    return what;
}

static PySendResult
ShieldedCall_am_send(PyObject *op, PyObject *arg, PyObject **result)
{
    PySendResult what;
    Py_BEGIN_CRITICAL_SECTION(op);
    what = shielded_send_lock_held(ShieldedCallObj_CAST(op), arg, result);
    Py_END_CRITICAL_SECTION();
    return what;
}

static PyObject *
ShieldedCall_await(PyObject *op)
{
    shielded_state life;
    Py_BEGIN_CRITICAL_SECTION(op);
    life = ShieldedCallObj_CAST(op)->sh_state;
    Py_END_CRITICAL_SECTION();
    return life == SHIELDED_NEW ? Py_NewRef(op) : refuse_second_await();
}

/* For the callers of an iterator: a value is the StopIteration's. */
static PyObject *
shielded_as_iterator(PySendResult what, PyObject *value)
{
    if (what != PYGEN_RETURN) {
        return value;
    }
    if (!Py_IsNone(value)) {
        (void)_PyGen_SetStopIterationValue(value);
    }
    Py_DECREF(value);
    return NULL;
}

static PyObject *
ShieldedCall_iternext(PyObject *op)
{
    PyObject *result;
    PySendResult what = ShieldedCall_am_send(op, Py_None, &result);
    return shielded_as_iterator(what, result);
}

static PyObject *
ShieldedCall_send(PyObject *op, PyObject *arg)
{
    PyObject *result;
    PySendResult what = ShieldedCall_am_send(op, arg, &result);
    if (what == PYGEN_RETURN && Py_IsNone(result)) {
        PyErr_SetNone(PyExc_StopIteration);
        return NULL;
    }
    return shielded_as_iterator(what, result);
}

static PyObject *
shielded_throw_lock_held(ShieldedCallObj *self, PyObject *const *args,
                         Py_ssize_t nargs)
{
    PyObject *res = NULL;
    if (self->sh_state == SHIELDED_NEW) {
        /* It never starts. */
        PyObject *awaitable = self->sh_awaitable;
        self->sh_awaitable = NULL;
        self->sh_state = SHIELDED_DONE;
        raise_thrown(args, nargs);
        if (PyCoro_CheckExact(awaitable)) {
            /* So that it does not say that it was never awaited. */
            PyObject *exc = PyErr_GetRaisedException();
            res = PyObject_CallMethodOneArg(awaitable, &_Py_ID(throw), exc);
            Py_DECREF(exc);
        }
        Py_DECREF(awaitable);
        return res;
    }
    if (shielded_prepare(self) < 0) {
        return NULL;
    }
    PyObject *iterator = Py_XNewRef(self->sh_iterator);
    bool has_returned = false;
    if (iterator != NULL) {
        PyObject *method = PyObject_GetAttr(iterator, &_Py_ID(throw));
        self->sh_busy = true;
        if (method != NULL) {
            res = PyObject_Vectorcall(method, args, nargs, NULL);
            has_returned = res == NULL
                && PyErr_ExceptionMatches(PyExc_StopIteration);
        }
        else if (PyErr_ExceptionMatches(PyExc_AttributeError) && nargs > 0) {
            /* An iterator that takes no exceptions has ended with this one. */
            PyErr_Clear();
            raise_thrown(args, nargs);
        }
        self->sh_busy = false;
        Py_XDECREF(method);
        Py_DECREF(iterator);
    }
    if (res != NULL) {
        return res;
    }
    PyObject *value = NULL;
    if (has_returned && _PyGen_FetchStopIterationValue(&value) < 0) {
        value = NULL;
    }
    value = shielded_end(self, value);
    if (value != NULL) {
        (void)_PyGen_SetStopIterationValue(value);
        Py_DECREF(value);
    }
    return NULL;
}

static PyObject *
ShieldedCall_throw(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *res;
    if (!_PyArg_CheckPositional("throw", nargs, 1, 3)) {
        return NULL;
    }
    Py_BEGIN_CRITICAL_SECTION(op);
    res = shielded_throw_lock_held(ShieldedCallObj_CAST(op), args, nargs);
    Py_END_CRITICAL_SECTION();
    return res;
}

/* Close what runs in it, as a coroutine that awaits it does when it is closed
   itself. */
static PyObject *
shielded_close_lock_held(ShieldedCallObj *self)
{
    if (self->sh_busy) {
        PyErr_SetString(PyExc_ValueError, "shield() is already executing");
        return NULL;
    }
    PyObject *inner = Py_XNewRef(self->sh_state == SHIELDED_NEW
                                 ? self->sh_awaitable : self->sh_iterator);
    bool is_running = self->sh_state == SHIELDED_RUNNING;
    self->sh_state = SHIELDED_DONE;
    Py_CLEAR(self->sh_awaitable);
    PyObject *res = Py_NewRef(Py_None);
    if (inner != NULL) {
        PyObject *close;
        self->sh_busy = true;
        int found = PyObject_GetOptionalAttr(inner, &_Py_ID(close), &close);
        if (found != 0) {
            Py_SETREF(res, found < 0 ? NULL : PyObject_CallNoArgs(close));
        }
        self->sh_busy = false;
        Py_XDECREF(close);
        Py_DECREF(inner);
    }
    if (!is_running) {
        return res;
    }
    if (res != NULL) {
        /* The scope is left as by a coroutine that is closed. */
        Py_DECREF(res);
        PyErr_SetNone(PyExc_GeneratorExit);
    }
    res = shielded_end(self, NULL);
    if (res == NULL && PyErr_ExceptionMatches(PyExc_GeneratorExit)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return res;
}

static PyObject *
ShieldedCall_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *res;
    Py_BEGIN_CRITICAL_SECTION(op);
    res = shielded_close_lock_held(ShieldedCallObj_CAST(op));
    Py_END_CRITICAL_SECTION();
    return res;
}

static PyObject *
ShieldedCall_get_await(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *res;
    Py_BEGIN_CRITICAL_SECTION(op);
    ShieldedCallObj *self = ShieldedCallObj_CAST(op);
    res = Py_NewRef(self->sh_iterator == NULL ? Py_None : self->sh_iterator);
    Py_END_CRITICAL_SECTION();
    return res;
}

static PyObject *
ShieldedCall_getattro(PyObject *op, PyObject *name)
{
    PyObject *res = PyObject_GenericGetAttr(op, name);
    if (res == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyObject *exc = PyErr_GetRaisedException();
        PyObject *explain = shields_attr("_explain_missing");
        PyObject *none = explain == NULL ? NULL
            : PyObject_CallFunctionObjArgs(explain, name, NULL);
        Py_XDECREF(explain);
        if (none != NULL) {
            Py_DECREF(none);
            PyErr_SetRaisedException(exc);
        }
        else {
            Py_DECREF(exc);
        }
    }
    return res;
}

static PyObject *
ShieldedCall_repr(PyObject *op)
{
    PyObject *inner = NULL, *res = NULL;
    shielded_state life;
    Py_BEGIN_CRITICAL_SECTION(op);
    ShieldedCallObj *self = ShieldedCallObj_CAST(op);
    life = self->sh_state;
    inner = Py_XNewRef(life == SHIELDED_NEW ? self->sh_awaitable
                                            : self->sh_iterator);
    Py_END_CRITICAL_SECTION();
    PyObject *repr = shields_attr("_shielded_repr");
    if (repr != NULL) {
        res = PyObject_CallFunction(
            repr, "sO", life == SHIELDED_NEW ? "not awaited"
                        : life == SHIELDED_RUNNING ? "running" : "finished",
            inner == NULL ? Py_None : inner);
    }
    Py_XDECREF(repr);
    Py_XDECREF(inner);
    return res;
}

static int
ShieldedCall_traverse(PyObject *op, visitproc visit, void *arg)
{
    ShieldedCallObj *self = ShieldedCallObj_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->sh_awaitable);
    Py_VISIT(self->sh_iterator);
    Py_VISIT(self->sh_scope);
    return 0;
}

static int
ShieldedCall_clear(PyObject *op)
{
    ShieldedCallObj *self = ShieldedCallObj_CAST(op);
    Py_CLEAR(self->sh_awaitable);
    Py_CLEAR(self->sh_iterator);
    Py_CLEAR(self->sh_scope);
    return 0;
}

/* Warn if it was never awaited; close what runs in it, as the coroutine around
   it would have done. */
static void
ShieldedCall_finalize(PyObject *op)
{
    ShieldedCallObj *self = ShieldedCallObj_CAST(op);
    if (self->sh_state == SHIELDED_DONE) {
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *res = NULL;
    if (self->sh_state == SHIELDED_NEW && self->sh_awaitable != NULL) {
        PyObject *warn = shields_attr("_warn_never_awaited");
        res = warn == NULL ? NULL
            : PyObject_CallOneArg(warn, self->sh_awaitable);
        Py_XDECREF(warn);
        self->sh_state = SHIELDED_DONE;
    }
    else {
        res = shielded_close_lock_held(self);
    }
    if (res == NULL
        && _Py_IsInterpreterFinalizing(_PyInterpreterState_GET())
        && PyErr_ExceptionMatches(PyExc_ImportError))
    {
        PyErr_Clear();      /* The coroutine warns itself. */
    }
    else if (res == NULL) {
        PyErr_FormatUnraisable("Exception ignored while a shield() went away");
    }
    Py_XDECREF(res);
    PyErr_SetRaisedException(exc);
}

static void
ShieldedCall_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    if (ShieldedCallObj_CAST(op)->sh_state != SHIELDED_DONE
        && PyObject_CallFinalizerFromDealloc(op) < 0)
    {
        return;     /* It has been resurrected. */
    }
    PyObject_GC_UnTrack(op);
    PyObject_ClearWeakRefs(op);
    (void)ShieldedCall_clear(op);
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyMethodDef ShieldedCall_methods[] = {
    {"send", ShieldedCall_send, METH_O,
     PyDoc_STR("send($self, value, /)\n--\n\nResume it with a value.")},
    {"throw", _PyCFunction_CAST(ShieldedCall_throw), METH_FASTCALL,
     PyDoc_STR("throw($self, exc, /)\n--\n\nResume it with an exception.")},
    {"close", ShieldedCall_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nClose what runs in it.")},
    {NULL, NULL}        /* Sentinel */
};

/* For the repr() of a task that runs it. */
static PyObject *
ShieldedCall_get_name(PyObject *Py_UNUSED(op), void *Py_UNUSED(closure))
{
    return PyUnicode_FromString("shield");
}

static PyGetSetDef ShieldedCall_getsetlist[] = {
    {"__name__", ShieldedCall_get_name, NULL, NULL},
    {"cr_await", ShieldedCall_get_await, NULL,
     PyDoc_STR("What runs in it, or None.")},
    {NULL} /* Sentinel */
};

static PyType_Slot ShieldedCall_slots[] = {
    {Py_tp_dealloc, ShieldedCall_dealloc},
    {Py_tp_finalize, ShieldedCall_finalize},
    {Py_tp_repr, ShieldedCall_repr},
    {Py_tp_getattro, ShieldedCall_getattro},
    {Py_tp_doc, (void *)ShieldedCall__doc__},
    {Py_tp_traverse, ShieldedCall_traverse},
    {Py_tp_clear, ShieldedCall_clear},
    {Py_tp_methods, ShieldedCall_methods},
    {Py_tp_getset, ShieldedCall_getsetlist},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, ShieldedCall_iternext},
    {Py_tp_vectorcall, ShieldedCall_vectorcall},
    {Py_am_await, ShieldedCall_await},
    {Py_am_send, ShieldedCall_am_send},
    {0, NULL},
};

static PyType_Spec ShieldedCall_spec = {
    .name = "_asyncio.ShieldedCall",
    .basicsize = sizeof(ShieldedCallObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_DISALLOW_INSTANTIATION |
              Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_MANAGED_WEAKREF),
    .slots = ShieldedCall_slots,
};
