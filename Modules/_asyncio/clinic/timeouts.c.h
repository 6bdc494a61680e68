/*[clinic input]
preserve
[clinic start generated code]*/

#if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)
#  include "pycore_gc.h"          // PyGC_Head
#  include "pycore_runtime.h"     // _Py_ID()
#endif
#include "pycore_critical_section.h"// Py_BEGIN_CRITICAL_SECTION()
#include "pycore_modsupport.h"    // _PyArg_UnpackKeywords()

PyDoc_STRVAR(_asyncio_Timeout___init____doc__,
"Timeout(when, *, shield=False)\n"
"--\n"
"\n"
"Asynchronous context manager for cancelling overdue coroutines.\n"
"\n"
"Use `timeout()` or `timeout_at()` rather than instantiating this class\n"
"directly.");

static int
_asyncio_Timeout___init___impl(TimeoutObj *self, PyObject *when,
                               PyObject *shield);

static int
_asyncio_Timeout___init__(PyObject *self, PyObject *args, PyObject *kwargs)
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
        .fname = "Timeout",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[2];
    PyObject * const *fastargs;
    Py_ssize_t nargs = PyTuple_GET_SIZE(args);
    Py_ssize_t noptargs = nargs + (kwargs ? PyDict_GET_SIZE(kwargs) : 0) - 1;
    PyObject *when;
    PyObject *shield = Py_False;

    fastargs = _PyArg_UnpackKeywords(_PyTuple_CAST(args)->ob_item, nargs, kwargs, NULL, &_parser,
            /*minpos*/ 1, /*maxpos*/ 1, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!fastargs) {
        goto exit;
    }
    when = fastargs[0];
    if (!noptargs) {
        goto skip_optional_kwonly;
    }
    shield = fastargs[1];
skip_optional_kwonly:
    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_Timeout___init___impl((TimeoutObj *)self, when, shield);
    Py_END_CRITICAL_SECTION();

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_Timeout_when__doc__,
"when($self, /)\n"
"--\n"
"\n"
"Return the current deadline.");

#define _ASYNCIO_TIMEOUT_WHEN_METHODDEF    \
    {"when", (PyCFunction)_asyncio_Timeout_when, METH_NOARGS, _asyncio_Timeout_when__doc__},

static PyObject *
_asyncio_Timeout_when_impl(TimeoutObj *self);

static PyObject *
_asyncio_Timeout_when(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_Timeout_when_impl((TimeoutObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_Timeout_reschedule__doc__,
"reschedule($self, /, when)\n"
"--\n"
"\n"
"Reschedule the timeout.");

#define _ASYNCIO_TIMEOUT_RESCHEDULE_METHODDEF    \
    {"reschedule", _PyCFunction_CAST(_asyncio_Timeout_reschedule), METH_FASTCALL|METH_KEYWORDS, _asyncio_Timeout_reschedule__doc__},

static PyObject *
_asyncio_Timeout_reschedule_impl(TimeoutObj *self, PyObject *when);

static PyObject *
_asyncio_Timeout_reschedule(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
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
        .ob_item = { &_Py_ID(when), },
    };
    #undef NUM_KEYWORDS
    #define KWTUPLE (&_kwtuple.ob_base.ob_base)

    #else  // !Py_BUILD_CORE
    #  define KWTUPLE NULL
    #endif  // !Py_BUILD_CORE

    static const char * const _keywords[] = {"when", NULL};
    static _PyArg_Parser _parser = {
        .keywords = _keywords,
        .fname = "reschedule",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[1];
    PyObject *when;

    args = _PyArg_UnpackKeywords(args, nargs, NULL, kwnames, &_parser,
            /*minpos*/ 1, /*maxpos*/ 1, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!args) {
        goto exit;
    }
    when = args[0];
    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_Timeout_reschedule_impl((TimeoutObj *)self, when);
    Py_END_CRITICAL_SECTION();

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_Timeout_expired__doc__,
"expired($self, /)\n"
"--\n"
"\n"
"Is timeout expired during execution?");

#define _ASYNCIO_TIMEOUT_EXPIRED_METHODDEF    \
    {"expired", (PyCFunction)_asyncio_Timeout_expired, METH_NOARGS, _asyncio_Timeout_expired__doc__},

static PyObject *
_asyncio_Timeout_expired_impl(TimeoutObj *self);

static PyObject *
_asyncio_Timeout_expired(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_Timeout_expired_impl((TimeoutObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_Timeout___aenter____doc__,
"__aenter__($self, /)\n"
"--\n"
"\n");

#define _ASYNCIO_TIMEOUT___AENTER___METHODDEF    \
    {"__aenter__", (PyCFunction)_asyncio_Timeout___aenter__, METH_NOARGS, _asyncio_Timeout___aenter____doc__},

static PyObject *
_asyncio_Timeout___aenter___impl(TimeoutObj *self);

static PyObject *
_asyncio_Timeout___aenter__(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return _asyncio_Timeout___aenter___impl((TimeoutObj *)self);
}

PyDoc_STRVAR(_asyncio_timeout_at__doc__,
"timeout_at($module, /, when, *, shield=False)\n"
"--\n"
"\n"
"Schedule the timeout at absolute time.\n"
"\n"
"Like timeout() but argument gives absolute time in the same clock system\n"
"as loop.time().\n"
"\n"
"Please note: it is not POSIX time but a time with\n"
"undefined starting base, e.g. the time of the system power on.\n"
"\n"
">>> async with asyncio.timeout_at(loop.time() + 10):\n"
"...     await long_running_task()\n"
"\n"
"when - a deadline when timeout occurs or None to disable timeout logic\n"
"shield - keep cancellation from outside away from the block\n"
"\n"
"long_running_task() is interrupted by raising asyncio.CancelledError,\n"
"the top-most affected timeout() context manager converts CancelledError\n"
"into TimeoutError.");

#define _ASYNCIO_TIMEOUT_AT_METHODDEF    \
    {"timeout_at", _PyCFunction_CAST(_asyncio_timeout_at), METH_FASTCALL|METH_KEYWORDS, _asyncio_timeout_at__doc__},

static PyObject *
_asyncio_timeout_at_impl(PyObject *module, PyObject *when, PyObject *shield);

static PyObject *
_asyncio_timeout_at(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
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
        .fname = "timeout_at",
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
    return_value = _asyncio_timeout_at_impl(module, when, shield);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio_timeout__doc__,
"timeout($module, /, delay, *, shield=False)\n"
"--\n"
"\n"
"Timeout async context manager.\n"
"\n"
"Useful in cases when you want to apply timeout logic around block\n"
"of code or in cases when asyncio.wait_for is not suitable. For example:\n"
"\n"
">>> async with asyncio.timeout(10):  # 10 seconds timeout\n"
"...     await long_running_task()\n"
"\n"
"delay - value in seconds or None to disable timeout logic\n"
"shield - keep cancellation from outside away from the block\n"
"\n"
"long_running_task() is interrupted by raising asyncio.CancelledError,\n"
"the top-most affected timeout() context manager converts CancelledError\n"
"into TimeoutError.");

#define _ASYNCIO_TIMEOUT_METHODDEF    \
    {"timeout", _PyCFunction_CAST(_asyncio_timeout), METH_FASTCALL|METH_KEYWORDS, _asyncio_timeout__doc__},

static PyObject *
_asyncio_timeout_impl(PyObject *module, PyObject *delay, PyObject *shield);

static PyObject *
_asyncio_timeout(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
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
        .fname = "timeout",
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
    return_value = _asyncio_timeout_impl(module, delay, shield);

exit:
    return return_value;
}
/*[clinic end generated code: output=1bf2757a03f7b7fe input=a9049054013a1b77]*/
