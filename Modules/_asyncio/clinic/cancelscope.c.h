/*[clinic input]
preserve
[clinic start generated code]*/

#if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)
#  include "pycore_gc.h"          // PyGC_Head
#  include "pycore_runtime.h"     // _Py_ID()
#endif
#include "pycore_critical_section.h"// Py_BEGIN_CRITICAL_SECTION()
#include "pycore_modsupport.h"    // _PyArg_UnpackKeywords()

PyDoc_STRVAR(_asyncio_CancelScope___init____doc__,
"CancelScope(*, deadline=None, shield=False)\n"
"--\n"
"\n"
"A block of code that can be cancelled as one.\n"
"\n"
"Use it as a plain `with`, inside a task.  Once the scope is cancelled,\n"
"every await in its block that has to wait raises CancelledError, until the\n"
"block is left; there the scope swallows the error.\n"
"\n"
"deadline -- when the scope cancels itself, in seconds on the clock of the\n"
"    event loop, or None.\n"
"shield -- keep cancellation that comes from outside away from the block.\n"
"\n"
"Modelled on trio.CancelScope.");

static int
_asyncio_CancelScope___init___impl(CancelScopeObj *self, PyObject *deadline,
                                   PyObject *shield);

static int
_asyncio_CancelScope___init__(PyObject *self, PyObject *args, PyObject *kwargs)
{
    int return_value = -1;
    #if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)

    #define NUM_KEYWORDS 2
    static struct {
        PyGC_Head _this_is_not_used;
        PyObject_VAR_HEAD
        Py_hash_t ob_hash;
        PyObject *ob_item[NUM_KEYWORDS];
    } _kwtuple = {
        .ob_base = PyVarObject_HEAD_INIT(&PyTuple_Type, NUM_KEYWORDS)
        .ob_hash = -1,
        .ob_item = { &_Py_ID(deadline), &_Py_ID(shield), },
    };
    #undef NUM_KEYWORDS
    #define KWTUPLE (&_kwtuple.ob_base.ob_base)

    #else  // !Py_BUILD_CORE
    #  define KWTUPLE NULL
    #endif  // !Py_BUILD_CORE

    static const char * const _keywords[] = {"deadline", "shield", NULL};
    static _PyArg_Parser _parser = {
        .keywords = _keywords,
        .fname = "CancelScope",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[2];
    PyObject * const *fastargs;
    Py_ssize_t nargs = PyTuple_GET_SIZE(args);
    Py_ssize_t noptargs = nargs + (kwargs ? PyDict_GET_SIZE(kwargs) : 0) - 0;
    PyObject *deadline = Py_None;
    PyObject *shield = Py_False;

    fastargs = _PyArg_UnpackKeywords(_PyTuple_CAST(args)->ob_item, nargs, kwargs, NULL, &_parser,
            /*minpos*/ 0, /*maxpos*/ 0, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!fastargs) {
        goto exit;
    }
    if (!noptargs) {
        goto skip_optional_kwonly;
    }
    if (fastargs[0]) {
        deadline = fastargs[0];
        if (!--noptargs) {
            goto skip_optional_kwonly;
        }
    }
    shield = fastargs[1];
skip_optional_kwonly:
    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope___init___impl((CancelScopeObj *)self, deadline, shield);
    Py_END_CRITICAL_SECTION();

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope___enter____doc__,
"__enter__($self, /)\n"
"--\n"
"\n");

#define _ASYNCIO_CANCELSCOPE___ENTER___METHODDEF    \
    {"__enter__", (PyCFunction)_asyncio_CancelScope___enter__, METH_NOARGS, _asyncio_CancelScope___enter____doc__},

static PyObject *
_asyncio_CancelScope___enter___impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope___enter__(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope___enter___impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope___exit____doc__,
"__exit__($self, exc_type, exc, tb, /)\n"
"--\n"
"\n");

#define _ASYNCIO_CANCELSCOPE___EXIT___METHODDEF    \
    {"__exit__", _PyCFunction_CAST(_asyncio_CancelScope___exit__), METH_FASTCALL, _asyncio_CancelScope___exit____doc__},

static PyObject *
_asyncio_CancelScope___exit___impl(CancelScopeObj *self, PyObject *exc_type,
                                   PyObject *exc, PyObject *tb);

static PyObject *
_asyncio_CancelScope___exit__(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *return_value = NULL;
    PyObject *exc_type;
    PyObject *exc;
    PyObject *tb;

    if (!_PyArg_CheckPositional("__exit__", nargs, 3, 3)) {
        goto exit;
    }
    exc_type = args[0];
    exc = args[1];
    tb = args[2];
    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope___exit___impl((CancelScopeObj *)self, exc_type, exc, tb);
    Py_END_CRITICAL_SECTION();

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_cancel__doc__,
"cancel($self, /, msg=None)\n"
"--\n"
"\n"
"Cancel the scope: interrupt every await in it from now on.\n"
"\n"
"*msg* goes into each CancelledError.  Only the first call counts.\n"
"Called before entry it takes effect on entry; after exit it does\n"
"nothing.  Not thread-safe: from another thread, use\n"
"loop.call_soon_threadsafe(scope.cancel).");

#define _ASYNCIO_CANCELSCOPE_CANCEL_METHODDEF    \
    {"cancel", _PyCFunction_CAST(_asyncio_CancelScope_cancel), METH_FASTCALL|METH_KEYWORDS, _asyncio_CancelScope_cancel__doc__},

static PyObject *
_asyncio_CancelScope_cancel_impl(CancelScopeObj *self, PyObject *msg);

static PyObject *
_asyncio_CancelScope_cancel(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *return_value = NULL;
    #if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)

    #define NUM_KEYWORDS 1
    static struct {
        PyGC_Head _this_is_not_used;
        PyObject_VAR_HEAD
        Py_hash_t ob_hash;
        PyObject *ob_item[NUM_KEYWORDS];
    } _kwtuple = {
        .ob_base = PyVarObject_HEAD_INIT(&PyTuple_Type, NUM_KEYWORDS)
        .ob_hash = -1,
        .ob_item = { &_Py_ID(msg), },
    };
    #undef NUM_KEYWORDS
    #define KWTUPLE (&_kwtuple.ob_base.ob_base)

    #else  // !Py_BUILD_CORE
    #  define KWTUPLE NULL
    #endif  // !Py_BUILD_CORE

    static const char * const _keywords[] = {"msg", NULL};
    static _PyArg_Parser _parser = {
        .keywords = _keywords,
        .fname = "cancel",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[1];
    Py_ssize_t noptargs = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) - 0;
    PyObject *msg = Py_None;

    args = _PyArg_UnpackKeywords(args, nargs, NULL, kwnames, &_parser,
            /*minpos*/ 0, /*maxpos*/ 1, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!args) {
        goto exit;
    }
    if (!noptargs) {
        goto skip_optional_pos;
    }
    msg = args[0];
skip_optional_pos:
    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_cancel_impl((CancelScopeObj *)self, msg);
    Py_END_CRITICAL_SECTION();

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_cancel_called__doc__,
"True if the scope\'s cancel was requested or its deadline passed.");
#if defined(_asyncio_CancelScope_cancel_called_DOCSTR)
#   undef _asyncio_CancelScope_cancel_called_DOCSTR
#endif
#define _asyncio_CancelScope_cancel_called_DOCSTR _asyncio_CancelScope_cancel_called__doc__

#if !defined(_asyncio_CancelScope_cancel_called_DOCSTR)
#  define _asyncio_CancelScope_cancel_called_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_CANCEL_CALLED_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_CANCEL_CALLED_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_CANCEL_CALLED_GETSETDEF {"cancel_called", (getter)_asyncio_CancelScope_cancel_called_get, (setter)_asyncio_CancelScope_cancel_called_set, _asyncio_CancelScope_cancel_called_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_CANCEL_CALLED_GETSETDEF {"cancel_called", (getter)_asyncio_CancelScope_cancel_called_get, NULL, _asyncio_CancelScope_cancel_called_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_cancel_called_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_cancel_called_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_cancel_called_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_cancelled_caught__doc__,
"True if the scope swallowed the CancelledError that it caused.");
#if defined(_asyncio_CancelScope_cancelled_caught_DOCSTR)
#   undef _asyncio_CancelScope_cancelled_caught_DOCSTR
#endif
#define _asyncio_CancelScope_cancelled_caught_DOCSTR _asyncio_CancelScope_cancelled_caught__doc__

#if !defined(_asyncio_CancelScope_cancelled_caught_DOCSTR)
#  define _asyncio_CancelScope_cancelled_caught_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_CANCELLED_CAUGHT_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_CANCELLED_CAUGHT_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_CANCELLED_CAUGHT_GETSETDEF {"cancelled_caught", (getter)_asyncio_CancelScope_cancelled_caught_get, (setter)_asyncio_CancelScope_cancelled_caught_set, _asyncio_CancelScope_cancelled_caught_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_CANCELLED_CAUGHT_GETSETDEF {"cancelled_caught", (getter)_asyncio_CancelScope_cancelled_caught_get, NULL, _asyncio_CancelScope_cancelled_caught_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_cancelled_caught_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_cancelled_caught_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_cancelled_caught_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_cancel_message__doc__,
"The message of the request that cancelled the scope, or None.");
#if defined(_asyncio_CancelScope_cancel_message_DOCSTR)
#   undef _asyncio_CancelScope_cancel_message_DOCSTR
#endif
#define _asyncio_CancelScope_cancel_message_DOCSTR _asyncio_CancelScope_cancel_message__doc__

#if !defined(_asyncio_CancelScope_cancel_message_DOCSTR)
#  define _asyncio_CancelScope_cancel_message_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_CANCEL_MESSAGE_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_CANCEL_MESSAGE_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_CANCEL_MESSAGE_GETSETDEF {"cancel_message", (getter)_asyncio_CancelScope_cancel_message_get, (setter)_asyncio_CancelScope_cancel_message_set, _asyncio_CancelScope_cancel_message_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_CANCEL_MESSAGE_GETSETDEF {"cancel_message", (getter)_asyncio_CancelScope_cancel_message_get, NULL, _asyncio_CancelScope_cancel_message_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_cancel_message_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_cancel_message_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_cancel_message_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_effectively_cancelled__doc__,
"True if the scope is cancelled, by itself or from outside.\n"
"\n"
"That is, if its own cancel was requested or its deadline has passed, or\n"
"if it is not shielded and what surrounds it is effectively cancelled.\n"
"Before entry and after exit only the scope itself counts.  Can be read\n"
"from any thread.");
#if defined(_asyncio_CancelScope_effectively_cancelled_DOCSTR)
#   undef _asyncio_CancelScope_effectively_cancelled_DOCSTR
#endif
#define _asyncio_CancelScope_effectively_cancelled_DOCSTR _asyncio_CancelScope_effectively_cancelled__doc__

#if !defined(_asyncio_CancelScope_effectively_cancelled_DOCSTR)
#  define _asyncio_CancelScope_effectively_cancelled_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_EFFECTIVELY_CANCELLED_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_EFFECTIVELY_CANCELLED_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_EFFECTIVELY_CANCELLED_GETSETDEF {"effectively_cancelled", (getter)_asyncio_CancelScope_effectively_cancelled_get, (setter)_asyncio_CancelScope_effectively_cancelled_set, _asyncio_CancelScope_effectively_cancelled_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_EFFECTIVELY_CANCELLED_GETSETDEF {"effectively_cancelled", (getter)_asyncio_CancelScope_effectively_cancelled_get, NULL, _asyncio_CancelScope_effectively_cancelled_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_effectively_cancelled_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_effectively_cancelled_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_effectively_cancelled_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_deadline_expired__doc__,
"True if it was the deadline that cancelled the scope.");
#if defined(_asyncio_CancelScope_deadline_expired_DOCSTR)
#   undef _asyncio_CancelScope_deadline_expired_DOCSTR
#endif
#define _asyncio_CancelScope_deadline_expired_DOCSTR _asyncio_CancelScope_deadline_expired__doc__

#if !defined(_asyncio_CancelScope_deadline_expired_DOCSTR)
#  define _asyncio_CancelScope_deadline_expired_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_DEADLINE_EXPIRED_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_DEADLINE_EXPIRED_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_DEADLINE_EXPIRED_GETSETDEF {"deadline_expired", (getter)_asyncio_CancelScope_deadline_expired_get, (setter)_asyncio_CancelScope_deadline_expired_set, _asyncio_CancelScope_deadline_expired_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_DEADLINE_EXPIRED_GETSETDEF {"deadline_expired", (getter)_asyncio_CancelScope_deadline_expired_get, NULL, _asyncio_CancelScope_deadline_expired_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_deadline_expired_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_deadline_expired_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_deadline_expired_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__overruled__doc__,
"True if the scope is cancelled from outside, visibly.");
#if defined(_asyncio_CancelScope__overruled_DOCSTR)
#   undef _asyncio_CancelScope__overruled_DOCSTR
#endif
#define _asyncio_CancelScope__overruled_DOCSTR _asyncio_CancelScope__overruled__doc__

#if !defined(_asyncio_CancelScope__overruled_DOCSTR)
#  define _asyncio_CancelScope__overruled_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__OVERRULED_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__OVERRULED_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__OVERRULED_GETSETDEF {"_overruled", (getter)_asyncio_CancelScope__overruled_get, (setter)_asyncio_CancelScope__overruled_set, _asyncio_CancelScope__overruled_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__OVERRULED_GETSETDEF {"_overruled", (getter)_asyncio_CancelScope__overruled_get, NULL, _asyncio_CancelScope__overruled_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope__overruled_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__overruled_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__overruled_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__has_interrupted__doc__,
"True if the cancellation of the scope has interrupted a task.");
#if defined(_asyncio_CancelScope__has_interrupted_DOCSTR)
#   undef _asyncio_CancelScope__has_interrupted_DOCSTR
#endif
#define _asyncio_CancelScope__has_interrupted_DOCSTR _asyncio_CancelScope__has_interrupted__doc__

#if !defined(_asyncio_CancelScope__has_interrupted_DOCSTR)
#  define _asyncio_CancelScope__has_interrupted_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__HAS_INTERRUPTED_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__HAS_INTERRUPTED_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__HAS_INTERRUPTED_GETSETDEF {"_has_interrupted", (getter)_asyncio_CancelScope__has_interrupted_get, (setter)_asyncio_CancelScope__has_interrupted_set, _asyncio_CancelScope__has_interrupted_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__HAS_INTERRUPTED_GETSETDEF {"_has_interrupted", (getter)_asyncio_CancelScope__has_interrupted_get, NULL, _asyncio_CancelScope__has_interrupted_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope__has_interrupted_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__has_interrupted_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__has_interrupted_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_cancels_tasks__doc__,
"True if the tasks below the scope are cancelled.\n"
"\n"
"Like effectively_cancelled, but what Task.cancel() asks of the task that has\n"
"entered the scope does not count: it concerns that task only.");
#if defined(_asyncio_CancelScope_cancels_tasks_DOCSTR)
#   undef _asyncio_CancelScope_cancels_tasks_DOCSTR
#endif
#define _asyncio_CancelScope_cancels_tasks_DOCSTR _asyncio_CancelScope_cancels_tasks__doc__

#if !defined(_asyncio_CancelScope_cancels_tasks_DOCSTR)
#  define _asyncio_CancelScope_cancels_tasks_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_CANCELS_TASKS_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_CANCELS_TASKS_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_CANCELS_TASKS_GETSETDEF {"cancels_tasks", (getter)_asyncio_CancelScope_cancels_tasks_get, (setter)_asyncio_CancelScope_cancels_tasks_set, _asyncio_CancelScope_cancels_tasks_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_CANCELS_TASKS_GETSETDEF {"cancels_tasks", (getter)_asyncio_CancelScope_cancels_tasks_get, NULL, _asyncio_CancelScope_cancels_tasks_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_cancels_tasks_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_cancels_tasks_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_cancels_tasks_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_deadline__doc__,
"When the scope cancels itself (loop.time() clock), or None.");
#if defined(_asyncio_CancelScope_deadline_DOCSTR)
#   undef _asyncio_CancelScope_deadline_DOCSTR
#endif
#define _asyncio_CancelScope_deadline_DOCSTR _asyncio_CancelScope_deadline__doc__

#if !defined(_asyncio_CancelScope_deadline_DOCSTR)
#  define _asyncio_CancelScope_deadline_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF {"deadline", (getter)_asyncio_CancelScope_deadline_get, (setter)_asyncio_CancelScope_deadline_set, _asyncio_CancelScope_deadline_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF {"deadline", (getter)_asyncio_CancelScope_deadline_get, NULL, _asyncio_CancelScope_deadline_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_deadline_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_deadline_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_deadline_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

#if !defined(_asyncio_CancelScope_deadline_DOCSTR)
#  define _asyncio_CancelScope_deadline_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF {"deadline", (getter)_asyncio_CancelScope_deadline_get, (setter)_asyncio_CancelScope_deadline_set, _asyncio_CancelScope_deadline_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_DEADLINE_GETSETDEF {"deadline", NULL, (setter)_asyncio_CancelScope_deadline_set, NULL},
#endif

static int
_asyncio_CancelScope_deadline_set_impl(CancelScopeObj *self, PyObject *value);

static int
_asyncio_CancelScope_deadline_set(PyObject *self, PyObject *value, void *Py_UNUSED(context))
{
    int return_value;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_deadline_set_impl((CancelScopeObj *)self, value);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_shield__doc__,
"Whether cancellation from outside is kept away from the block.");
#if defined(_asyncio_CancelScope_shield_DOCSTR)
#   undef _asyncio_CancelScope_shield_DOCSTR
#endif
#define _asyncio_CancelScope_shield_DOCSTR _asyncio_CancelScope_shield__doc__

#if !defined(_asyncio_CancelScope_shield_DOCSTR)
#  define _asyncio_CancelScope_shield_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF {"shield", (getter)_asyncio_CancelScope_shield_get, (setter)_asyncio_CancelScope_shield_set, _asyncio_CancelScope_shield_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF {"shield", (getter)_asyncio_CancelScope_shield_get, NULL, _asyncio_CancelScope_shield_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope_shield_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope_shield_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_shield_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

#if !defined(_asyncio_CancelScope_shield_DOCSTR)
#  define _asyncio_CancelScope_shield_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF {"shield", (getter)_asyncio_CancelScope_shield_get, (setter)_asyncio_CancelScope_shield_set, _asyncio_CancelScope_shield_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE_SHIELD_GETSETDEF {"shield", NULL, (setter)_asyncio_CancelScope_shield_set, NULL},
#endif

static int
_asyncio_CancelScope_shield_set_impl(CancelScopeObj *self, PyObject *value);

static int
_asyncio_CancelScope_shield_set(PyObject *self, PyObject *value, void *Py_UNUSED(context))
{
    int return_value;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_shield_set_impl((CancelScopeObj *)self, value);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope_adopt__doc__,
"adopt($self, task, /)\n"
"--\n"
"\n"
"Move *task*, with all that is below it, to below this scope.\n"
"\n"
"From now on it is cancelled with this scope, and no more with what it\n"
"was below; if it was a member of a group, that does not wait for it any\n"
"more.  Raise RuntimeError, and move nothing, if the scope is not active,\n"
"if the task is done or belongs to another event loop, or if the scope is\n"
"inside the task.");

#define _ASYNCIO_CANCELSCOPE_ADOPT_METHODDEF    \
    {"adopt", (PyCFunction)_asyncio_CancelScope_adopt, METH_O, _asyncio_CancelScope_adopt__doc__},

static PyObject *
_asyncio_CancelScope_adopt_impl(CancelScopeObj *self, PyObject *task);

static PyObject *
_asyncio_CancelScope_adopt(PyObject *self, PyObject *task)
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope_adopt_impl((CancelScopeObj *)self, task);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__set_group__doc__,
"_set_group($self, group, /)\n"
"--\n"
"\n"
"Tell *group* from now on what becomes of the members.");

#define _ASYNCIO_CANCELSCOPE__SET_GROUP_METHODDEF    \
    {"_set_group", (PyCFunction)_asyncio_CancelScope__set_group, METH_O, _asyncio_CancelScope__set_group__doc__},

static PyObject *
_asyncio_CancelScope__set_group_impl(CancelScopeObj *self, PyObject *group);

static PyObject *
_asyncio_CancelScope__set_group(PyObject *self, PyObject *group)
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__set_group_impl((CancelScopeObj *)self, group);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__weaken_group__doc__,
"_weaken_group($self, /)\n"
"--\n"
"\n"
"From now on the scope does not keep its group alive.");

#define _ASYNCIO_CANCELSCOPE__WEAKEN_GROUP_METHODDEF    \
    {"_weaken_group", (PyCFunction)_asyncio_CancelScope__weaken_group, METH_NOARGS, _asyncio_CancelScope__weaken_group__doc__},

static PyObject *
_asyncio_CancelScope__weaken_group_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__weaken_group(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__weaken_group_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__group__doc__,
"The group of the scope, or None.");
#if defined(_asyncio_CancelScope__group_DOCSTR)
#   undef _asyncio_CancelScope__group_DOCSTR
#endif
#define _asyncio_CancelScope__group_DOCSTR _asyncio_CancelScope__group__doc__

#if !defined(_asyncio_CancelScope__group_DOCSTR)
#  define _asyncio_CancelScope__group_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF {"_group", (getter)_asyncio_CancelScope__group_get, (setter)_asyncio_CancelScope__group_set, _asyncio_CancelScope__group_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF {"_group", (getter)_asyncio_CancelScope__group_get, NULL, _asyncio_CancelScope__group_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope__group_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__group_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__group_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__outer_group__doc__,
"The group of the nearest scope around this one that has one, or None.");
#if defined(_asyncio_CancelScope__outer_group_DOCSTR)
#   undef _asyncio_CancelScope__outer_group_DOCSTR
#endif
#define _asyncio_CancelScope__outer_group_DOCSTR _asyncio_CancelScope__outer_group__doc__

#if !defined(_asyncio_CancelScope__outer_group_DOCSTR)
#  define _asyncio_CancelScope__outer_group_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__OUTER_GROUP_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__OUTER_GROUP_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__OUTER_GROUP_GETSETDEF {"_outer_group", (getter)_asyncio_CancelScope__outer_group_get, (setter)_asyncio_CancelScope__outer_group_set, _asyncio_CancelScope__outer_group_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__OUTER_GROUP_GETSETDEF {"_outer_group", (getter)_asyncio_CancelScope__outer_group_get, NULL, _asyncio_CancelScope__outer_group_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope__outer_group_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__outer_group_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__outer_group_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__loop__doc__,
"The event loop of the scope while it is active, else None.");
#if defined(_asyncio_CancelScope__loop_DOCSTR)
#   undef _asyncio_CancelScope__loop_DOCSTR
#endif
#define _asyncio_CancelScope__loop_DOCSTR _asyncio_CancelScope__loop__doc__

#if !defined(_asyncio_CancelScope__loop_DOCSTR)
#  define _asyncio_CancelScope__loop_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__LOOP_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__LOOP_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__LOOP_GETSETDEF {"_loop", (getter)_asyncio_CancelScope__loop_get, (setter)_asyncio_CancelScope__loop_set, _asyncio_CancelScope__loop_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__LOOP_GETSETDEF {"_loop", (getter)_asyncio_CancelScope__loop_get, NULL, _asyncio_CancelScope__loop_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope__loop_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__loop_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__loop_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__move_here__doc__,
"_move_here($self, /)\n"
"--\n"
"\n"
"Make the current task the host of this scope, which it is about to leave.\n"
"\n"
"That is for the scopes of timeouts and groups, whose block can be\n"
"entered in another task.  Return whether it has been moved.");

#define _ASYNCIO_CANCELSCOPE__MOVE_HERE_METHODDEF    \
    {"_move_here", (PyCFunction)_asyncio_CancelScope__move_here, METH_NOARGS, _asyncio_CancelScope__move_here__doc__},

static PyObject *
_asyncio_CancelScope__move_here_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__move_here(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__move_here_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__members__doc__,
"The number of tasks right below this scope that are not done.");
#if defined(_asyncio_CancelScope__members_DOCSTR)
#   undef _asyncio_CancelScope__members_DOCSTR
#endif
#define _asyncio_CancelScope__members_DOCSTR _asyncio_CancelScope__members__doc__

#if !defined(_asyncio_CancelScope__members_DOCSTR)
#  define _asyncio_CancelScope__members_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__MEMBERS_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__MEMBERS_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__MEMBERS_GETSETDEF {"_members", (getter)_asyncio_CancelScope__members_get, (setter)_asyncio_CancelScope__members_set, _asyncio_CancelScope__members_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__MEMBERS_GETSETDEF {"_members", (getter)_asyncio_CancelScope__members_get, NULL, _asyncio_CancelScope__members_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope__members_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__members_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__members_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__member_tasks__doc__,
"_member_tasks($self, /)\n"
"--\n"
"\n"
"Return a list of the tasks right below this scope that are not done.");

#define _ASYNCIO_CANCELSCOPE__MEMBER_TASKS_METHODDEF    \
    {"_member_tasks", (PyCFunction)_asyncio_CancelScope__member_tasks, METH_NOARGS, _asyncio_CancelScope__member_tasks__doc__},

static PyObject *
_asyncio_CancelScope__member_tasks_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__member_tasks(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__member_tasks_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__watch__doc__,
"_watch($self, /)\n"
"--\n"
"\n"
"Have the group cancel its foreign tasks when this is cancelled.\n"
"\n"
"If it is, return the message in a tuple.");

#define _ASYNCIO_CANCELSCOPE__WATCH_METHODDEF    \
    {"_watch", (PyCFunction)_asyncio_CancelScope__watch, METH_NOARGS, _asyncio_CancelScope__watch__doc__},

static PyObject *
_asyncio_CancelScope__watch_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__watch(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__watch_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__plant__doc__,
"_plant($self, loop, /)\n"
"--\n"
"\n"
"Become the root of the tree of *loop*.");

#define _ASYNCIO_CANCELSCOPE__PLANT_METHODDEF    \
    {"_plant", (PyCFunction)_asyncio_CancelScope__plant, METH_O, _asyncio_CancelScope__plant__doc__},

static PyObject *
_asyncio_CancelScope__plant_impl(CancelScopeObj *self, PyObject *loop);

static PyObject *
_asyncio_CancelScope__plant(PyObject *self, PyObject *loop)
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__plant_impl((CancelScopeObj *)self, loop);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__uproot__doc__,
"_uproot($self, /)\n"
"--\n"
"\n"
"Be no root any more, and let go of what is below.");

#define _ASYNCIO_CANCELSCOPE__UPROOT_METHODDEF    \
    {"_uproot", (PyCFunction)_asyncio_CancelScope__uproot, METH_NOARGS, _asyncio_CancelScope__uproot__doc__},

static PyObject *
_asyncio_CancelScope__uproot_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__uproot(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__uproot_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__disable_shields__doc__,
"_disable_shields($self, /)\n"
"--\n"
"\n"
"Clear all shields below this root.");

#define _ASYNCIO_CANCELSCOPE__DISABLE_SHIELDS_METHODDEF    \
    {"_disable_shields", (PyCFunction)_asyncio_CancelScope__disable_shields, METH_NOARGS, _asyncio_CancelScope__disable_shields__doc__},

static PyObject *
_asyncio_CancelScope__disable_shields_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__disable_shields(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__disable_shields_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio__is_cancelled__doc__,
"_is_cancelled($module, task, /)\n"
"--\n"
"\n"
"Tell if *task* is cancelled as a whole.");

#define _ASYNCIO__IS_CANCELLED_METHODDEF    \
    {"_is_cancelled", (PyCFunction)_asyncio__is_cancelled, METH_O, _asyncio__is_cancelled__doc__},

PyDoc_STRVAR(_asyncio__was_interrupted__doc__,
"_was_interrupted($module, task, /)\n"
"--\n"
"\n"
"Tell if a cancellation from outside *task* has interrupted its coroutine.\n"
"\n"
"Whether the coroutine let the CancelledError pass does not matter, nor does\n"
"whether *task* is done.");

#define _ASYNCIO__WAS_INTERRUPTED_METHODDEF    \
    {"_was_interrupted", (PyCFunction)_asyncio__was_interrupted, METH_O, _asyncio__was_interrupted__doc__},

PyDoc_STRVAR(_asyncio__cancel_requests__doc__,
"_cancel_requests($module, task, /)\n"
"--\n"
"\n"
"Return the number of requests through cancel() that are in force.");

#define _ASYNCIO__CANCEL_REQUESTS_METHODDEF    \
    {"_cancel_requests", (PyCFunction)_asyncio__cancel_requests, METH_O, _asyncio__cancel_requests__doc__},

PyDoc_STRVAR(_asyncio__cancel_once__doc__,
"_cancel_once($module, task, msg, /)\n"
"--\n"
"\n"
"Interrupt one await of *task*, which counts as a request through cancel().");

#define _ASYNCIO__CANCEL_ONCE_METHODDEF    \
    {"_cancel_once", _PyCFunction_CAST(_asyncio__cancel_once), METH_FASTCALL, _asyncio__cancel_once__doc__},

static PyObject *
_asyncio__cancel_once_impl(PyObject *module, PyObject *task, PyObject *msg);

static PyObject *
_asyncio__cancel_once(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *return_value = NULL;
    PyObject *task;
    PyObject *msg;

    if (!_PyArg_CheckPositional("_cancel_once", nargs, 2, 2)) {
        goto exit;
    }
    task = args[0];
    msg = args[1];
    return_value = _asyncio__cancel_once_impl(module, task, msg);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio__forget_delivery__doc__,
"_forget_delivery($module, task, /)\n"
"--\n"
"\n"
"What was thrown into *task* has ended rightly.");

#define _ASYNCIO__FORGET_DELIVERY_METHODDEF    \
    {"_forget_delivery", (PyCFunction)_asyncio__forget_delivery, METH_O, _asyncio__forget_delivery__doc__},

PyDoc_STRVAR(_asyncio__take_errors__doc__,
"_take_errors($module, task, /)\n"
"--\n"
"\n"
"Return what is to become of the exception of *task*, which is being made.\n"
"\n"
"It is one of another kind than Task.");

#define _ASYNCIO__TAKE_ERRORS_METHODDEF    \
    {"_take_errors", (PyCFunction)_asyncio__take_errors, METH_O, _asyncio__take_errors__doc__},

PyDoc_STRVAR(_asyncio_move_on_after__doc__,
"move_on_after($module, /, delay, *, shield=False)\n"
"--\n"
"\n"
"Return a CancelScope that cancels itself *delay* seconds after entry.\n"
"\n"
"The clock starts when the scope is entered.  A *delay* of None means no\n"
"deadline; one that is zero or negative has passed on entry.");

#define _ASYNCIO_MOVE_ON_AFTER_METHODDEF    \
    {"move_on_after", _PyCFunction_CAST(_asyncio_move_on_after), METH_FASTCALL|METH_KEYWORDS, _asyncio_move_on_after__doc__},

static PyObject *
_asyncio_move_on_after_impl(PyObject *module, PyObject *delay,
                            PyObject *shield);

static PyObject *
_asyncio_move_on_after(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *return_value = NULL;
    #if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)

    #define NUM_KEYWORDS 2
    static struct {
        PyGC_Head _this_is_not_used;
        PyObject_VAR_HEAD
        Py_hash_t ob_hash;
        PyObject *ob_item[NUM_KEYWORDS];
    } _kwtuple = {
        .ob_base = PyVarObject_HEAD_INIT(&PyTuple_Type, NUM_KEYWORDS)
        .ob_hash = -1,
        .ob_item = { &_Py_ID(delay), &_Py_ID(shield), },
    };
    #undef NUM_KEYWORDS
    #define KWTUPLE (&_kwtuple.ob_base.ob_base)

    #else  // !Py_BUILD_CORE
    #  define KWTUPLE NULL
    #endif  // !Py_BUILD_CORE

    static const char * const _keywords[] = {"delay", "shield", NULL};
    static _PyArg_Parser _parser = {
        .keywords = _keywords,
        .fname = "move_on_after",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[2];
    Py_ssize_t noptargs = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) - 1;
    PyObject *delay;
    PyObject *shield = Py_False;

    args = _PyArg_UnpackKeywords(args, nargs, NULL, kwnames, &_parser,
            /*minpos*/ 1, /*maxpos*/ 1, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!args) {
        goto exit;
    }
    delay = args[0];
    if (!noptargs) {
        goto skip_optional_kwonly;
    }
    shield = args[1];
skip_optional_kwonly:
    return_value = _asyncio_move_on_after_impl(module, delay, shield);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_move_on_at__doc__,
"move_on_at($module, /, when, *, shield=False)\n"
"--\n"
"\n"
"Return a CancelScope that cancels itself at *when*.\n"
"\n"
"*when* is in seconds on the clock of the event loop, loop.time(), or None\n"
"for no deadline.");

#define _ASYNCIO_MOVE_ON_AT_METHODDEF    \
    {"move_on_at", _PyCFunction_CAST(_asyncio_move_on_at), METH_FASTCALL|METH_KEYWORDS, _asyncio_move_on_at__doc__},

static PyObject *
_asyncio_move_on_at_impl(PyObject *module, PyObject *when, PyObject *shield);

static PyObject *
_asyncio_move_on_at(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *return_value = NULL;
    #if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)

    #define NUM_KEYWORDS 2
    static struct {
        PyGC_Head _this_is_not_used;
        PyObject_VAR_HEAD
        Py_hash_t ob_hash;
        PyObject *ob_item[NUM_KEYWORDS];
    } _kwtuple = {
        .ob_base = PyVarObject_HEAD_INIT(&PyTuple_Type, NUM_KEYWORDS)
        .ob_hash = -1,
        .ob_item = { &_Py_ID(when), &_Py_ID(shield), },
    };
    #undef NUM_KEYWORDS
    #define KWTUPLE (&_kwtuple.ob_base.ob_base)

    #else  // !Py_BUILD_CORE
    #  define KWTUPLE NULL
    #endif  // !Py_BUILD_CORE

    static const char * const _keywords[] = {"when", "shield", NULL};
    static _PyArg_Parser _parser = {
        .keywords = _keywords,
        .fname = "move_on_at",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[2];
    Py_ssize_t noptargs = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) - 1;
    PyObject *when;
    PyObject *shield = Py_False;

    args = _PyArg_UnpackKeywords(args, nargs, NULL, kwnames, &_parser,
            /*minpos*/ 1, /*maxpos*/ 1, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!args) {
        goto exit;
    }
    when = args[0];
    if (!noptargs) {
        goto skip_optional_kwonly;
    }
    shield = args[1];
skip_optional_kwonly:
    return_value = _asyncio_move_on_at_impl(module, when, shield);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio__movable_scope__doc__,
"_movable_scope($module, deadline=None, shield=False, /)\n"
"--\n"
"\n"
"Return a CancelScope that any task may leave.");

#define _ASYNCIO__MOVABLE_SCOPE_METHODDEF    \
    {"_movable_scope", _PyCFunction_CAST(_asyncio__movable_scope), METH_FASTCALL, _asyncio__movable_scope__doc__},

static PyObject *
_asyncio__movable_scope_impl(PyObject *module, PyObject *deadline,
                             PyObject *shield);

static PyObject *
_asyncio__movable_scope(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *return_value = NULL;
    PyObject *deadline = Py_None;
    PyObject *shield = Py_False;

    if (!_PyArg_CheckPositional("_movable_scope", nargs, 0, 2)) {
        goto exit;
    }
    if (nargs < 1) {
        goto skip_optional;
    }
    deadline = args[0];
    if (nargs < 2) {
        goto skip_optional;
    }
    shield = args[1];
skip_optional:
    return_value = _asyncio__movable_scope_impl(module, deadline, shield);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_current_scope__doc__,
"current_scope($module, /, task=None)\n"
"--\n"
"\n"
"Return the innermost CancelScope that a task has entered, or None.\n"
"\n"
"The default is the current task.  Scopes of timeouts and task groups count.");

#define _ASYNCIO_CURRENT_SCOPE_METHODDEF    \
    {"current_scope", _PyCFunction_CAST(_asyncio_current_scope), METH_FASTCALL|METH_KEYWORDS, _asyncio_current_scope__doc__},

static PyObject *
_asyncio_current_scope_impl(PyObject *module, PyObject *task);

static PyObject *
_asyncio_current_scope(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *return_value = NULL;
    #if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)

    #define NUM_KEYWORDS 1
    static struct {
        PyGC_Head _this_is_not_used;
        PyObject_VAR_HEAD
        Py_hash_t ob_hash;
        PyObject *ob_item[NUM_KEYWORDS];
    } _kwtuple = {
        .ob_base = PyVarObject_HEAD_INIT(&PyTuple_Type, NUM_KEYWORDS)
        .ob_hash = -1,
        .ob_item = { &_Py_ID(task), },
    };
    #undef NUM_KEYWORDS
    #define KWTUPLE (&_kwtuple.ob_base.ob_base)

    #else  // !Py_BUILD_CORE
    #  define KWTUPLE NULL
    #endif  // !Py_BUILD_CORE

    static const char * const _keywords[] = {"task", NULL};
    static _PyArg_Parser _parser = {
        .keywords = _keywords,
        .fname = "current_scope",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[1];
    Py_ssize_t noptargs = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) - 0;
    PyObject *task = Py_None;

    args = _PyArg_UnpackKeywords(args, nargs, NULL, kwnames, &_parser,
            /*minpos*/ 0, /*maxpos*/ 1, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!args) {
        goto exit;
    }
    if (!noptargs) {
        goto skip_optional_pos;
    }
    task = args[0];
skip_optional_pos:
    return_value = _asyncio_current_scope_impl(module, task);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio__shielding_scope__doc__,
"_shielding_scope($module, /)\n"
"--\n"
"\n"
"Return the innermost shielded CancelScope around the running code, or None.\n"
"\n"
"It can be one of another task, which the current one is below.");

#define _ASYNCIO__SHIELDING_SCOPE_METHODDEF    \
    {"_shielding_scope", (PyCFunction)_asyncio__shielding_scope, METH_NOARGS, _asyncio__shielding_scope__doc__},

static PyObject *
_asyncio__shielding_scope_impl(PyObject *module);

static PyObject *
_asyncio__shielding_scope(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return _asyncio__shielding_scope_impl(module);
}

PyDoc_STRVAR(_asyncio_current_effective_deadline__doc__,
"current_effective_deadline($module, /)\n"
"--\n"
"\n"
"Return when the code that asks will be cancelled by a deadline.\n"
"\n"
"That is the earliest deadline among the scopes that surround it, up to the\n"
"first shield: in seconds on the clock of the event loop, inf if there is\n"
"none, -inf if the code is cancelled already.");

#define _ASYNCIO_CURRENT_EFFECTIVE_DEADLINE_METHODDEF    \
    {"current_effective_deadline", (PyCFunction)_asyncio_current_effective_deadline, METH_NOARGS, _asyncio_current_effective_deadline__doc__},

static PyObject *
_asyncio_current_effective_deadline_impl(PyObject *module);

static PyObject *
_asyncio_current_effective_deadline(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return _asyncio_current_effective_deadline_impl(module);
}
/*[clinic end generated code: output=85a28941c2c988d9 input=a9049054013a1b77]*/
