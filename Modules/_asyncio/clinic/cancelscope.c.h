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
"every await in its block that suspends raises CancelledError, until the\n"
"block is left; there the scope swallows the error.\n"
"\n"
"deadline -- when the scope cancels itself, in seconds on the clock of the\n"
"    event loop, or None.\n"
"shield -- keep cancellation that comes from outside away from the block.\n"
"\n"
"Modeled on trio.CancelScope.");

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
"_members($self, /)\n"
"--\n"
"\n"
"Return a list of the tasks right below this scope that are not done.");

#define _ASYNCIO_CANCELSCOPE__MEMBERS_METHODDEF    \
    {"_members", (PyCFunction)_asyncio_CancelScope__members, METH_NOARGS, _asyncio_CancelScope__members__doc__},

static PyObject *
_asyncio_CancelScope__members_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__members(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__members_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__watch__doc__,
"_watch($self, /)\n"
"--\n"
"\n"
"Have the group cancel its external tasks when this is cancelled.\n"
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

PyDoc_STRVAR(_asyncio_CancelScope__register_root__doc__,
"_register_root($self, loop, /)\n"
"--\n"
"\n"
"Become the root of the tree of *loop*.");

#define _ASYNCIO_CANCELSCOPE__REGISTER_ROOT_METHODDEF    \
    {"_register_root", (PyCFunction)_asyncio_CancelScope__register_root, METH_O, _asyncio_CancelScope__register_root__doc__},

static PyObject *
_asyncio_CancelScope__register_root_impl(CancelScopeObj *self,
                                         PyObject *loop);

static PyObject *
_asyncio_CancelScope__register_root(PyObject *self, PyObject *loop)
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__register_root_impl((CancelScopeObj *)self, loop);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio_CancelScope__unregister_root__doc__,
"_unregister_root($self, /)\n"
"--\n"
"\n"
"Unregister this root and detach what is below it.");

#define _ASYNCIO_CANCELSCOPE__UNREGISTER_ROOT_METHODDEF    \
    {"_unregister_root", (PyCFunction)_asyncio_CancelScope__unregister_root, METH_NOARGS, _asyncio_CancelScope__unregister_root__doc__},

static PyObject *
_asyncio_CancelScope__unregister_root_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__unregister_root(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__unregister_root_impl((CancelScopeObj *)self);
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

PyDoc_STRVAR(_asyncio_CancelScope__group__doc__,
"The group, which is told what becomes of the members, or None.\n"
"\n"
"A weak reference can be assigned: then the scope does not keep it alive.");
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

#if !defined(_asyncio_CancelScope__group_DOCSTR)
#  define _asyncio_CancelScope__group_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF {"_group", (getter)_asyncio_CancelScope__group_get, (setter)_asyncio_CancelScope__group_set, _asyncio_CancelScope__group_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__GROUP_GETSETDEF {"_group", NULL, (setter)_asyncio_CancelScope__group_set, NULL},
#endif

static int
_asyncio_CancelScope__group_set_impl(CancelScopeObj *self, PyObject *value);

static int
_asyncio_CancelScope__group_set(PyObject *self, PyObject *value, void *Py_UNUSED(context))
{
    int return_value;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__group_set_impl((CancelScopeObj *)self, value);
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

PyDoc_STRVAR(_asyncio_CancelScope__member_count__doc__,
"The number of tasks right below this scope that are not done.");
#if defined(_asyncio_CancelScope__member_count_DOCSTR)
#   undef _asyncio_CancelScope__member_count_DOCSTR
#endif
#define _asyncio_CancelScope__member_count_DOCSTR _asyncio_CancelScope__member_count__doc__

#if !defined(_asyncio_CancelScope__member_count_DOCSTR)
#  define _asyncio_CancelScope__member_count_DOCSTR NULL
#endif
#if defined(_ASYNCIO_CANCELSCOPE__MEMBER_COUNT_GETSETDEF)
#  undef _ASYNCIO_CANCELSCOPE__MEMBER_COUNT_GETSETDEF
#  define _ASYNCIO_CANCELSCOPE__MEMBER_COUNT_GETSETDEF {"_member_count", (getter)_asyncio_CancelScope__member_count_get, (setter)_asyncio_CancelScope__member_count_set, _asyncio_CancelScope__member_count_DOCSTR},
#else
#  define _ASYNCIO_CANCELSCOPE__MEMBER_COUNT_GETSETDEF {"_member_count", (getter)_asyncio_CancelScope__member_count_get, NULL, _asyncio_CancelScope__member_count_DOCSTR},
#endif

static PyObject *
_asyncio_CancelScope__member_count_get_impl(CancelScopeObj *self);

static PyObject *
_asyncio_CancelScope__member_count_get(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *return_value = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    return_value = _asyncio_CancelScope__member_count_get_impl((CancelScopeObj *)self);
    Py_END_CRITICAL_SECTION();

    return return_value;
}

PyDoc_STRVAR(_asyncio__take_slot__doc__,
"_take_slot($module, task, /)\n"
"--\n"
"\n"
"Claim the scope and the errors mode that *task*, which is being made, gets.\n"
"\n"
"Return them; the scope is None for the root of the loop.  Return None if the\n"
"task is made in another way, or if another task has claimed them.");

#define _ASYNCIO__TAKE_SLOT_METHODDEF    \
    {"_take_slot", (PyCFunction)_asyncio__take_slot, METH_O, _asyncio__take_slot__doc__},

PyDoc_STRVAR(_asyncio__adopt_external__doc__,
"_adopt_external($module, loop, task, /)\n"
"--\n"
"\n"
"Give a task from a task factory to the root group if it is an external one.\n"
"\n"
"Return it.");

#define _ASYNCIO__ADOPT_EXTERNAL_METHODDEF    \
    {"_adopt_external", _PyCFunction_CAST(_asyncio__adopt_external), METH_FASTCALL, _asyncio__adopt_external__doc__},

static PyObject *
_asyncio__adopt_external_impl(PyObject *module, PyObject *loop,
                              PyObject *task);

static PyObject *
_asyncio__adopt_external(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *return_value = NULL;
    PyObject *loop;
    PyObject *task;

    if (!_PyArg_CheckPositional("_adopt_external", nargs, 2, 2)) {
        goto exit;
    }
    loop = args[0];
    task = args[1];
    return_value = _asyncio__adopt_external_impl(module, loop, task);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio__call_soon__doc__,
"_call_soon($module, loop, callback, /)\n"
"--\n"
"\n"
"Have *loop* call *callback*, without arguments.");

#define _ASYNCIO__CALL_SOON_METHODDEF    \
    {"_call_soon", _PyCFunction_CAST(_asyncio__call_soon), METH_FASTCALL, _asyncio__call_soon__doc__},

static PyObject *
_asyncio__call_soon_impl(PyObject *module, PyObject *loop,
                         PyObject *callback);

static PyObject *
_asyncio__call_soon(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *return_value = NULL;
    PyObject *loop;
    PyObject *callback;

    if (!_PyArg_CheckPositional("_call_soon", nargs, 2, 2)) {
        goto exit;
    }
    loop = args[0];
    callback = args[1];
    return_value = _asyncio__call_soon_impl(module, loop, callback);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio__find_root__doc__,
"_find_root($module, loop, /)\n"
"--\n"
"\n"
"Return the scope of the root group of *loop*, or None.");

#define _ASYNCIO__FIND_ROOT_METHODDEF    \
    {"_find_root", (PyCFunction)_asyncio__find_root, METH_O, _asyncio__find_root__doc__},

PyDoc_STRVAR(_asyncio__is_cancelled__doc__,
"_is_cancelled($module, task, /)\n"
"--\n"
"\n"
"Return true if *task* is cancelled as a whole.");

#define _ASYNCIO__IS_CANCELLED_METHODDEF    \
    {"_is_cancelled", (PyCFunction)_asyncio__is_cancelled, METH_O, _asyncio__is_cancelled__doc__},

PyDoc_STRVAR(_asyncio__was_interrupted__doc__,
"_was_interrupted($module, task, /)\n"
"--\n"
"\n"
"Return true if a cancellation from outside *task* has interrupted it.\n"
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
"_cancel_once($module, task, msg=None, /)\n"
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
    PyObject *msg = Py_None;

    if (!_PyArg_CheckPositional("_cancel_once", nargs, 1, 2)) {
        goto exit;
    }
    task = args[0];
    if (nargs < 2) {
        goto skip_optional;
    }
    msg = args[1];
skip_optional:
    return_value = _asyncio__cancel_once_impl(module, task, msg);

exit:
    return return_value;
}

PyDoc_STRVAR(_asyncio__forget_delivery__doc__,
"_forget_delivery($module, task, /)\n"
"--\n"
"\n"
"Clear the CancelledError that was recorded: *task* has not swallowed it.");

#define _ASYNCIO__FORGET_DELIVERY_METHODDEF    \
    {"_forget_delivery", (PyCFunction)_asyncio__forget_delivery, METH_O, _asyncio__forget_delivery__doc__},

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

PyDoc_STRVAR(_asyncio__make_scope__doc__,
"_make_scope($module, /, deadline=None, shield=False, movable=False)\n"
"--\n"
"\n"
"Return a CancelScope that the current task can enter.\n"
"\n"
"One that is *movable* can be left in another task.");

#define _ASYNCIO__MAKE_SCOPE_METHODDEF    \
    {"_make_scope", _PyCFunction_CAST(_asyncio__make_scope), METH_FASTCALL|METH_KEYWORDS, _asyncio__make_scope__doc__},

static PyObject *
_asyncio__make_scope_impl(PyObject *module, PyObject *deadline,
                          PyObject *shield, int movable);

static PyObject *
_asyncio__make_scope(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *return_value = NULL;
    #if defined(Py_BUILD_CORE) && !defined(Py_BUILD_CORE_MODULE)

    #define NUM_KEYWORDS 3
    static struct {
        PyGC_Head _this_is_not_used;
        PyObject_VAR_HEAD
        Py_hash_t ob_hash;
        PyObject *ob_item[NUM_KEYWORDS];
    } _kwtuple = {
        .ob_base = PyVarObject_HEAD_INIT(&PyTuple_Type, NUM_KEYWORDS)
        .ob_hash = -1,
        .ob_item = { &_Py_ID(deadline), &_Py_ID(shield), &_Py_ID(movable), },
    };
    #undef NUM_KEYWORDS
    #define KWTUPLE (&_kwtuple.ob_base.ob_base)

    #else  // !Py_BUILD_CORE
    #  define KWTUPLE NULL
    #endif  // !Py_BUILD_CORE

    static const char * const _keywords[] = {"deadline", "shield", "movable", NULL};
    static _PyArg_Parser _parser = {
        .keywords = _keywords,
        .fname = "_make_scope",
        .kwtuple = KWTUPLE,
    };
    #undef KWTUPLE
    PyObject *argsbuf[3];
    Py_ssize_t noptargs = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0) - 0;
    PyObject *deadline = Py_None;
    PyObject *shield = Py_False;
    int movable = 0;

    args = _PyArg_UnpackKeywords(args, nargs, NULL, kwnames, &_parser,
            /*minpos*/ 0, /*maxpos*/ 3, /*minkw*/ 0, /*varpos*/ 0, argsbuf);
    if (!args) {
        goto exit;
    }
    if (!noptargs) {
        goto skip_optional_pos;
    }
    if (args[0]) {
        deadline = args[0];
        if (!--noptargs) {
            goto skip_optional_pos;
        }
    }
    if (args[1]) {
        shield = args[1];
        if (!--noptargs) {
            goto skip_optional_pos;
        }
    }
    movable = PyObject_IsTrue(args[2]);
    if (movable < 0) {
        goto exit;
    }
skip_optional_pos:
    return_value = _asyncio__make_scope_impl(module, deadline, shield, movable);

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

PyDoc_STRVAR(_asyncio__scopes_around__doc__,
"_scopes_around($module, task, /)\n"
"--\n"
"\n"
"Describe the scopes around the code of *task*, the innermost first.\n"
"\n"
"Return a list of (scope, kind, host, origin): the task that has entered\n"
"the scope, or None, and in debug mode where.");

#define _ASYNCIO__SCOPES_AROUND_METHODDEF    \
    {"_scopes_around", (PyCFunction)_asyncio__scopes_around, METH_O, _asyncio__scopes_around__doc__},

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
/*[clinic end generated code: output=323b0dc02df03f02 input=a9049054013a1b77]*/
