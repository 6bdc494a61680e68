/* Handle: a callback that an event loop will call.

   Included by _asynciomodule.c.  Lib/asyncio/events.py is the same in Python,
   and has what is not needed for each callback: the repr() of a handle, and
   what becomes of an exception. */

typedef struct {
    PyObject_HEAD
    /* All owned.  Python code sees them, and other threads as well. */
    PyObject *hd_callback;
    PyObject *hd_args;
    PyObject *hd_loop;
    PyObject *hd_context;
    PyObject *hd_source_traceback;
    PyObject *hd_repr;
    PyObject *hd_cancelled;     /* a bool */
} HandleObj;

#define HandleObj_CAST(op) ((HandleObj *)(op))

/* The names of a loop that count here, as in asyncio_state.loop_names. */
enum {
    NAME_GET_DEBUG,
    NAME_CHECK_CLOSED,
    NAME_CALL_SOON_,            /* _call_soon() */
    NAME_CALL_SOON,
    NAME_METHODS,               /* So many of them are methods. */
    NAME_CLOSED = NAME_METHODS,
    NAME_DEBUG,
    NAME_READY,
    NAME_HANDLE,                /* (of the module) */
    NAME_COUNT,
};

static PyObject *
events_attr(const char *name)
{
    return module_attr("asyncio.events", name);
}

/* The functions of asyncio.events that are called here.  (They are kept: at the
   end of the interpreter nothing can be imported any more.) */
enum {
    EVENTS_REPR,
    EVENTS_REPR_INFO,
    EVENTS_REPORT_FAILURE,
    EVENTS_EXTRACT_STACK,
    EVENTS_COUNT,
};

PyDoc_STRVAR(set_handle_functions_doc,
"_set_handle_functions(repr, repr_info, report_failure, extract_stack, /)\n"
"--\n"
"\n"
"Tell what Handle leaves to Python code.");

static PyObject *
set_handle_functions(PyObject *module, PyObject *args)
{
    asyncio_state *state = get_asyncio_state(module);
    PyObject *functions[EVENTS_COUNT];
    if (!PyArg_ParseTuple(args, "OOOO:_set_handle_functions", &functions[0],
                          &functions[1], &functions[2], &functions[3]))
    {
        return NULL;
    }
    for (int i = 0; i < EVENTS_COUNT; i++) {
        Py_XSETREF(state->events_functions[i], Py_NewRef(functions[i]));
    }
    Py_RETURN_NONE;
}

static PyObject *
call_events(asyncio_state *state, int which, PyObject *handle, PyObject *arg)
{
    if (state->events_functions[which] == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "asyncio.events has not been imported");
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(state->events_functions[which],
                                        handle, arg, NULL);
}

/* What loop.get_debug() says. */
static int
loop_get_debug(asyncio_state *state, PyObject *loop)
{
    PyObject *method = NULL, *debug;
    int is_method = _PyObject_GetMethod(loop, &_Py_ID(get_debug), &method);
    if (method == NULL) {
        return -1;
    }
    if (is_method && method == state->base_methods[NAME_GET_DEBUG]) {
        /* It is known what that does. */
        debug = PyObject_GetAttr(loop, state->loop_names[NAME_DEBUG]);
    }
    else if (is_method) {
        debug = PyObject_CallOneArg(method, loop);
    }
    else {
        debug = PyObject_CallNoArgs(method);
    }
    Py_DECREF(method);
    int res = debug == NULL ? -1 : PyObject_IsTrue(debug);
    Py_XDECREF(debug);
    return res;
}

/* Set the fields of a handle, also of one that has been initialized before. */
static void
handle_set(HandleObj *self, PyObject *callback, PyObject *args, PyObject *loop,
           PyObject *context, PyObject *source_traceback)
{
    PyObject *values[] = {
        Py_NewRef(callback), Py_NewRef(args), Py_NewRef(loop),
        Py_NewRef(context), Py_NewRef(source_traceback), Py_NewRef(Py_None),
        Py_NewRef(Py_False),
    };
    PyObject **fields[] = {
        &self->hd_callback, &self->hd_args, &self->hd_loop,
        &self->hd_context, &self->hd_source_traceback, &self->hd_repr,
        &self->hd_cancelled,
    };
    Py_BEGIN_CRITICAL_SECTION(self);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(fields); i++) {
        PyObject *old = *fields[i];
        FT_ATOMIC_STORE_PTR_RELEASE(*fields[i], values[i]);
        values[i] = old;
    }
    Py_END_CRITICAL_SECTION();
    for (size_t i = 0; i < Py_ARRAY_LENGTH(values); i++) {
        Py_XDECREF(values[i]);
    }
}

PyDoc_STRVAR(Handle__doc__,
"Handle(callback, args, loop, context=None)\n"
"--\n"
"\n"
"Object returned by callback registration methods.");

static int
handle_init(asyncio_state *state, PyObject *op, PyObject *callback,
            PyObject *args, PyObject *loop, PyObject *context)
{
    context = Py_IsNone(context) ? PyContext_CopyCurrent()
                                 : Py_NewRef(context);
    int debug = context == NULL ? -1 : loop_get_debug(state, loop);
    PyObject *traceback = debug < 0 ? NULL
        : debug ? call_events(state, EVENTS_EXTRACT_STACK, NULL, NULL)
        : Py_NewRef(Py_None);
    if (traceback != NULL) {
        handle_set(HandleObj_CAST(op), callback, args, loop, context,
                   traceback);
        Py_DECREF(traceback);
    }
    Py_XDECREF(context);
    return traceback == NULL ? -1 : 0;
}

static int
Handle_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"callback", "args", "loop", "context", NULL};
    PyObject *callback, *callback_args, *loop, *context = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|O:Handle", keywords,
                                     &callback, &callback_args, &loop,
                                     &context))
    {
        return -1;
    }
    return handle_init(get_asyncio_state_by_def(op), op, callback,
                       callback_args, loop, context);
}

/* Whether instances of the type are made as here: a program can replace that. */
static bool
handle_is_plain(PyTypeObject *tp)
{
    return tp->tp_init == Handle_init
        && tp->tp_new == PyBaseObject_Type.tp_new;
}

static PyObject *
Handle_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf,
                  PyObject *kwnames)
{
    PyTypeObject *tp = (PyTypeObject *)type;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (kwnames != NULL || (nargs != 3 && nargs != 4)
        || !handle_is_plain(tp))
    {
        return _PyObject_MakeTpCall(PyThreadState_Get(), type, args, nargs,
                                    kwnames);
    }
    PyObject *self = tp->tp_alloc(tp, 0);
    if (self != NULL
        && handle_init(get_asyncio_state_by_cls(tp), self, args[0], args[1],
                       args[2], nargs == 4 ? args[3] : Py_None) < 0)
    {
        Py_CLEAR(self);
    }
    return self;
}

static PyObject *
Handle_repr(PyObject *op)
{
    return call_events(get_asyncio_state_by_def(op), EVENTS_REPR, op, NULL);
}

static PyObject *
Handle_repr_info(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return call_events(get_asyncio_state_by_def(op), EVENTS_REPR_INFO, op,
                       NULL);
}

/* Return a field, which is NULL if the handle was never initialized. */
static PyObject *
handle_get(HandleObj *self, PyObject **field, const char *name)
{
    PyObject *value;
    Py_BEGIN_CRITICAL_SECTION(self);
    value = Py_XNewRef(*field);
    Py_END_CRITICAL_SECTION();
    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError, "'%T' object has no attribute '%s'",
                     self, name);
    }
    return value;
}

static PyObject *
Handle_get_context(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    HandleObj *self = HandleObj_CAST(op);
    return handle_get(self, &self->hd_context, "_context");
}

static PyObject *
Handle_cancelled(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    HandleObj *self = HandleObj_CAST(op);
    return handle_get(self, &self->hd_cancelled, "_cancelled");
}

static PyObject *
Handle_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    HandleObj *self = HandleObj_CAST(op);
    PyObject *cancelled = handle_get(self, &self->hd_cancelled, "_cancelled");
    int is_cancelled = cancelled == NULL ? -1 : PyObject_IsTrue(cancelled);
    Py_XDECREF(cancelled);
    if (is_cancelled != 0) {
        return is_cancelled < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *loop = handle_get(self, &self->hd_loop, "_loop");
    PyObject *repr = NULL, *callback, *args;
    Py_BEGIN_CRITICAL_SECTION(self);
    cancelled = self->hd_cancelled;
    FT_ATOMIC_STORE_PTR_RELEASE(self->hd_cancelled, Py_True);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(cancelled);
    int debug = loop == NULL ? -1
        : loop_get_debug(get_asyncio_state_by_def(op), loop);
    Py_XDECREF(loop);
    if (debug < 0) {
        return NULL;
    }
    if (debug) {
        /* Keep a representation in debug mode to keep callback and
           parameters. */
        repr = PyObject_Repr(op);
        if (repr == NULL) {
            return NULL;
        }
    }
    Py_BEGIN_CRITICAL_SECTION(self);
    callback = self->hd_callback;
    args = self->hd_args;
    FT_ATOMIC_STORE_PTR_RELEASE(self->hd_callback, Py_None);
    FT_ATOMIC_STORE_PTR_RELEASE(self->hd_args, Py_None);
    if (repr != NULL) {
        PyObject *before = self->hd_repr;
        FT_ATOMIC_STORE_PTR_RELEASE(self->hd_repr, repr);
        repr = before;
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(callback);
    Py_XDECREF(args);
    Py_XDECREF(repr);
    Py_RETURN_NONE;
}

/* context.run(callback, *args) */
static PyObject *
call_in_context(PyObject *context, PyObject *callback, PyObject *args)
{
    if (!PyContext_CheckExact(context) || !PyTuple_CheckExact(args)) {
        PyObject *run = PyObject_GetAttrString(context, "run");
        PyObject *list = run == NULL ? NULL : PyList_New(0);
        PyObject *tuple = NULL, *res = NULL;
        if (list != NULL && PyList_Append(list, callback) == 0
            && PyList_Extend(list, args) == 0
            && (tuple = PyList_AsTuple(list)) != NULL)
        {
            res = PyObject_CallObject(run, tuple);
        }
        Py_XDECREF(tuple);
        Py_XDECREF(list);
        Py_XDECREF(run);
        return res;
    }
    if (PyContext_Enter(context) < 0) {
        return NULL;
    }
    PyObject *res = PyObject_Vectorcall(
        callback, _PyTuple_ITEMS(args), (size_t)PyTuple_GET_SIZE(args), NULL);
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(res);
    }
    return res;
}

static PyObject *
Handle_run(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    HandleObj *self = HandleObj_CAST(op);
    PyObject *callback, *args, *context;
    Py_BEGIN_CRITICAL_SECTION(self);
    callback = Py_XNewRef(self->hd_callback);
    args = Py_XNewRef(self->hd_args);
    context = Py_XNewRef(self->hd_context);
    Py_END_CRITICAL_SECTION();
    PyObject *res = NULL;
    if (callback == NULL || args == NULL || context == NULL) {
        PyErr_SetString(PyExc_AttributeError, "Handle is not initialized");
    }
    else {
        res = call_in_context(context, callback, args);
    }
    Py_XDECREF(callback);
    Py_XDECREF(args);
    Py_XDECREF(context);
    if (res != NULL) {
        Py_DECREF(res);
        Py_RETURN_NONE;
    }
    if (PyErr_ExceptionMatches(PyExc_SystemExit)
        || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
    {
        return NULL;
    }
    /* As in an except block.  (What is handled here, not in code around it, is
       what has to be restored.) */
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *outer = Py_XNewRef(PyThreadState_Get()->exc_info->exc_value);
    PyErr_SetHandledException(exc);
    res = call_events(get_asyncio_state_by_def(op), EVENTS_REPORT_FAILURE, op,
                      exc);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    Py_DECREF(exc);
    return res;
}

static int
Handle_traverse(PyObject *op, visitproc visit, void *arg)
{
    HandleObj *self = HandleObj_CAST(op);
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->hd_callback);
    Py_VISIT(self->hd_args);
    Py_VISIT(self->hd_loop);
    Py_VISIT(self->hd_context);
    Py_VISIT(self->hd_source_traceback);
    Py_VISIT(self->hd_repr);
    Py_VISIT(self->hd_cancelled);
    return 0;
}

static int
Handle_clear(PyObject *op)
{
    HandleObj *self = HandleObj_CAST(op);
    Py_CLEAR(self->hd_callback);
    Py_CLEAR(self->hd_args);
    Py_CLEAR(self->hd_loop);
    Py_CLEAR(self->hd_context);
    Py_CLEAR(self->hd_source_traceback);
    Py_CLEAR(self->hd_repr);
    Py_CLEAR(self->hd_cancelled);
    return 0;
}

static void
Handle_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    PyObject_ClearWeakRefs(op);
    (void)Handle_clear(op);
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyMethodDef Handle_methods[] = {
    {"_repr_info", Handle_repr_info, METH_NOARGS, NULL},
    {"get_context", Handle_get_context, METH_NOARGS, NULL},
    {"cancel", Handle_cancel, METH_NOARGS, NULL},
    {"cancelled", Handle_cancelled, METH_NOARGS, NULL},
    {"_run", Handle_run, METH_NOARGS, NULL},
    {NULL}
};

static PyMemberDef Handle_members[] = {
    {"_callback", Py_T_OBJECT_EX, offsetof(HandleObj, hd_callback)},
    {"_args", Py_T_OBJECT_EX, offsetof(HandleObj, hd_args)},
    {"_loop", Py_T_OBJECT_EX, offsetof(HandleObj, hd_loop)},
    {"_context", Py_T_OBJECT_EX, offsetof(HandleObj, hd_context)},
    {"_source_traceback", Py_T_OBJECT_EX,
     offsetof(HandleObj, hd_source_traceback)},
    {"_repr", Py_T_OBJECT_EX, offsetof(HandleObj, hd_repr)},
    {"_cancelled", Py_T_OBJECT_EX, offsetof(HandleObj, hd_cancelled)},
    {NULL}
};

static PyType_Slot Handle_slots[] = {
    {Py_tp_doc, (void *)Handle__doc__},
    {Py_tp_init, Handle_init},
    {Py_tp_vectorcall, Handle_vectorcall},
    {Py_tp_repr, Handle_repr},
    {Py_tp_methods, Handle_methods},
    {Py_tp_members, Handle_members},
    {Py_tp_traverse, Handle_traverse},
    {Py_tp_clear, Handle_clear},
    {Py_tp_dealloc, Handle_dealloc},
    {0, NULL},
};

static PyType_Spec Handle_spec = {
    .name = "_asyncio.Handle",
    .basicsize = sizeof(HandleObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
              Py_TPFLAGS_MANAGED_WEAKREF),
    .slots = Handle_slots,
};

/* call_soon() of asyncio's own loops, without a call of Python.

   It does what BaseEventLoop.call_soon() does out of debug mode, as long as
   nothing that has a part in that was replaced: in a subclass, in the loop, or
   in the module. */

static int
init_call_soon(asyncio_state *state)
{
    static const char *const names[NAME_COUNT] = {
        [NAME_GET_DEBUG] = "get_debug",
        [NAME_CHECK_CLOSED] = "_check_closed",
        [NAME_CALL_SOON_] = "_call_soon",
        [NAME_CALL_SOON] = "call_soon",
        [NAME_CLOSED] = "_closed",
        [NAME_DEBUG] = "_debug",
        [NAME_READY] = "_ready",
        [NAME_HANDLE] = "Handle",
    };
    static_assert(Py_ARRAY_LENGTH(state->loop_names) == NAME_COUNT, "");
    static_assert(Py_ARRAY_LENGTH(state->base_methods) == NAME_METHODS,
                  "");
    for (int i = 0; i < NAME_COUNT; i++) {
        state->loop_names[i] = PyUnicode_InternFromString(names[i]);
        if (state->loop_names[i] == NULL) {
            return -1;
        }
    }
    /* For copy.copy(). */
    PyObject *slots = PyTuple_New(Py_ARRAY_LENGTH(Handle_members) - 1);
    for (Py_ssize_t i = 0; slots != NULL && i < PyTuple_GET_SIZE(slots); i++) {
        PyObject *name = PyUnicode_FromString(Handle_members[i].name);
        if (name == NULL) {
            Py_CLEAR(slots);
            break;
        }
        PyTuple_SET_ITEM(slots, i, name);
    }
    int res = slots == NULL ? -1 : PyObject_SetAttrString(
        (PyObject *)state->HandleType, "__slots__", slots);
    Py_XDECREF(slots);
    if (res < 0) {
        return -1;
    }
    state->deque_type = PyImport_ImportModuleAttrString("collections",
                                                        "deque");
    if (state->deque_type == NULL) {
        return -1;
    }
    state->deque_append = PyObject_GetAttrString(state->deque_type, "append");
    return state->deque_append == NULL ? -1 : 0;
}

PyDoc_STRVAR(set_base_loop_doc,
"_set_base_loop(loop_type, events, /)\n"
"--\n"
"\n"
"Tell which class has the call_soon() that the C code can do without.");

static PyObject *
set_base_loop(PyObject *module, PyObject *args)
{
    PyObject *loop_type, *events;
    if (!PyArg_ParseTuple(args, "O!O!:_set_base_loop", &PyType_Type,
                          &loop_type, &PyModule_Type, &events))
    {
        return NULL;
    }
    asyncio_state *state = get_asyncio_state(module);
    for (int i = 0; i < NAME_METHODS; i++) {
        PyObject *method = PyObject_GetAttr(loop_type,
                                            state->loop_names[i]);
        if (method == NULL) {
            return NULL;
        }
        Py_XSETREF(state->base_methods[i], method);
    }
    Py_XSETREF(state->events_dict, Py_NewRef(PyModule_GetDict(events)));
    Py_RETURN_NONE;
}

/* Return whether a type has the methods of the base class, and for the names
   that the loop sets, nothing at all: then no code of a program runs when they
   are looked up. */
static bool
has_base_methods(asyncio_state *state, PyTypeObject *type)
{
    unsigned int version = FT_ATOMIC_LOAD_UINT_RELAXED(type->tp_version_tag);
    if (version != 0
        && version == FT_ATOMIC_LOAD_UINT_RELAXED(state->base_loop_version))
    {
        return true;
    }
    if (type->tp_getattro != PyObject_GenericGetAttr
        || !PyUnstable_Type_AssignVersionTag(type))
    {
        return false;
    }
    /* Before the look at the names: if they change meanwhile, so does this. */
    version = FT_ATOMIC_LOAD_UINT_RELAXED(type->tp_version_tag);
    for (int i = 0; i < NAME_HANDLE; i++) {
        PyObject *value = _PyType_LookupRef(type, state->loop_names[i]);
        Py_XDECREF(value);      /* It is only compared. */
        if (value != (i < NAME_METHODS ? state->base_methods[i] : NULL)) {
            return false;
        }
    }
    FT_ATOMIC_STORE_UINT_RELAXED(state->base_loop_version, version);
    return true;
}

/* Return the deque of the callbacks that are ready, a new reference; NULL,
   without an exception, if call_soon() has to be called.

   (No dict of the loop is asked for: if it has none yet, that would make one,
   and all Python code that uses the loop slower.) */
static PyObject *
find_ready(asyncio_state *state, PyObject *loop)
{
    PyObject **names = state->loop_names;
    PyObject *value = NULL;
    if (state->events_dict == NULL
        || !has_base_methods(state, Py_TYPE(loop))
        || PyDict_GetItemRef(state->events_dict, names[NAME_HANDLE],
                             &value) <= 0)
    {
        goto other;
    }
    Py_DECREF(value);
    if (value != (PyObject *)state->HandleType
        || !handle_is_plain(state->HandleType))
    {
        goto other;
    }
    for (int i = 0; i < NAME_METHODS; i++) {
        PyObject *method = NULL;
        int is_method = _PyObject_GetMethod(loop, names[i], &method);
        Py_XDECREF(method);
        if (!is_method) {
            goto other;         /* The loop itself has another one. */
        }
    }
    for (int i = NAME_CLOSED; i <= NAME_DEBUG; i++) {
        value = PyObject_GetAttr(loop, names[i]);
        Py_XDECREF(value);
        if (value != Py_False) {
            goto other;
        }
    }
    value = PyObject_GetAttr(loop, names[NAME_READY]);
    if (value != NULL
        && Py_IS_TYPE(value, (PyTypeObject *)state->deque_type))
    {
        return value;
    }
    Py_XDECREF(value);
other:
    PyErr_Clear();              /* The call says what is missing. */
    return NULL;
}

/* Return 1 if it has been done, 0 if call_soon() has to be called, -1 with an
   exception. */
static int
call_soon_directly(asyncio_state *state, PyObject *loop, PyObject *func,
                   PyObject *arg, PyObject *ctx)
{
    PyObject *ready = find_ready(state, loop);
    if (ready == NULL) {
        return 0;
    }
    PyTypeObject *type = state->HandleType;
    PyObject *handle = NULL, *res = NULL;
    PyObject *context = ctx == NULL ? PyContext_CopyCurrent() : Py_NewRef(ctx);
    PyObject *args = arg == NULL ? PyTuple_New(0) : PyTuple_Pack(1, arg);
    if (context != NULL && args != NULL) {
        handle = type->tp_alloc(type, 0);
    }
    if (handle != NULL) {
        handle_set(HandleObj_CAST(handle), func, args, loop, context, Py_None);
        PyObject *stack[] = {ready, handle};
        res = PyObject_Vectorcall(state->deque_append, stack, 2, NULL);
        Py_DECREF(handle);
    }
    Py_XDECREF(context);
    Py_XDECREF(args);
    Py_DECREF(ready);
    Py_XDECREF(res);
    return res == NULL ? -1 : 1;
}
