/* Cancel scopes: the structs.

   _asynciomodule.c includes this before it defines TaskObj, which embeds a
   scope_node, and after that
     scopes.c       the tree, how it reaches the tasks, and the explanation,
     requests.c     what Task.cancel() and Task.uncancel() do,
     deadlines.c    what each event loop has: its root and its deadlines,
     cancelscope.c  the type CancelScope and the functions of the module. */

#ifndef ASYNCIO_SCOPES_H
#define ASYNCIO_SCOPES_H

#include "pycore_hashtable.h"     // _Py_hashtable_t
#include "pycore_llist.h"         // struct llist_node
#include "pycore_pyatomic_ft_wrappers.h"
#include <stdbool.h>

struct CancelScopeObj;
struct LoopStateObj;

/* The LoopStateObj of each event loop: borrowed, for each takes itself
   out.  It lives as long as the module or one of them. */
typedef struct {
    _Py_hashtable_t *states;        /* by the address of the loop */
    struct LoopStateObj *latest;    /* the one that was asked for last */
    Py_ssize_t users;
#ifdef Py_GIL_DISABLED
    PyMutex mutex;
#endif
} loop_table;

/* What the tasks and the scopes of one event loop share.

   All armed deadlines are behind a single timer.  It is set for the earliest
   deadline there was when it was set, and is moved only when an earlier one
   comes: leaving a scope just takes it off the heap.  So a program that
   opens a scope with a deadline again and again sets one timer in a while
   instead of one a scope. */
typedef struct LoopStateObj {
    PyObject_HEAD
    loop_table *ls_table;       /* which counts this among its users */
    /* Borrowed, so that a scope which has been left does not keep the loop:
       code that uses it has a reference to the loop. */
    PyObject *ls_loop;
    /* A weak reference to it, dead if the loop is gone (another one can
       have its address then); the loop itself if it takes none.  Owned. */
    PyObject *ls_loop_ref;
#ifdef Py_GIL_DISABLED
    PyMutex ls_mutex;           /* guards the tree; see tree_lock() */
#endif
    /* Head of the scopes of root groups; the first one counts.  Borrowed: a
       root that goes away unregisters itself. */
    struct llist_node ls_roots;
    /* A binary heap of the scopes whose deadlines are armed.  Borrowed. */
    struct CancelScopeObj **ls_heap;
    Py_ssize_t ls_heap_size;
    Py_ssize_t ls_heap_allocated;
    PyObject *ls_timer;         /* the TimerHandle, by weak reference if it
                                   can be had; NULL while not armed */
    double ls_timer_when;       /* when it is due */
    bool ls_timer_failing;      /* it could not be armed again */
} LoopStateObj;

/* A scope: embedded in TaskObj (the task's own scope) and in CancelScope. */
typedef struct scope_node {
    /* The links are borrowed.  The tree owns nothing: a scope that goes away
       takes itself out of it first, and a task takes its scopes out. */

    /* The surrounding scope, NULL at the top and outside the tree. */
    struct scope_node *parent;
    /* The scope whose request cancels the code in this one: this node or one
       of its ancestors, or NULL. */
    struct scope_node *canceller;
    /* The one whose request cancels the tasks below.  (What Task.cancel() asks
       does not.) */
    struct scope_node *member_canceller;
    /* Head of the scopes right below. */
    struct llist_node children;
    struct llist_node siblings;
    /* For an own scope, the task that it is embedded in, once that has been
       initialized.  Else the task that has entered the scope: NULL outside the
       tree, in a root, and when that task has ended. */
    struct TaskObj *host;
    /* Set when the scope first enters a tree, or the task is initialized, and
       kept from then on.  Owned. */
    LoopStateObj *loop_state;
    /* What the CancelledErrors of the request are to say; NULL means
       None.  (For an own scope, the latest one of Task.cancel(): for
       `requested` there is task_inherited_msg.)  Owned. */
    PyObject *msg;
    unsigned is_task: 1;        /* embedded in a TaskObj */
    unsigned requested: 1;      /* its own cancel was requested; for an own
                                   scope: a cancelled scope that it was below
                                   has been left */
    unsigned host_requested: 1; /* a Task.cancel() of the host is in force
                                   here: in an own scope, or a shielded one */
    unsigned host_pending: 1;   /* no CancelledError stands for it yet */
    unsigned shield: 1;         /* what comes from outside is kept away */
    unsigned delivered: 1;      /* the cancellation that begins here (for an
                                   own scope: outside the task) has reached
                                   the host's coroutine */
    unsigned uncancelled: 1;    /* and uncancel() has discounted that */
    unsigned interrupted: 1;    /* the cancellation that begins here has
                                   interrupted a task; an own scope: its task
                                   was interrupted while it was cancelled from
                                   outside */
    unsigned is_ready: 1;       /* an own scope whose task will run */
    unsigned is_member: 1;      /* an own scope right below a CancelScope,
                                   which counts and owns the task */
    unsigned has_shields: 1;    /* an own scope whose task has been in a
                                   shielded scope */
    unsigned handed_up: 1;      /* to an own scope: its pending request has the
                                   message msg, not task_cancel_msg */
    unsigned is_marked: 1;      /* for task_find_target() */
    unsigned overrides_cancel: 1;   /* an own scope whose task does so, */
    unsigned cancel_due: 1;     /* and has yet to be told by a call of that */
} scope_node;

/* A request of Task.cancel() that was made to a shielded scope, since it came
   from code that was started in there. */
typedef struct shield_request {
    scope_node *node;           /* borrowed, for the scope hands it up when it
                                   is left; NULL: it became an ordinary one */
    PyObject *msg;              /* owned */
    struct shield_request *before;
} shield_request;

/* What the context of code says that was started in a shielded scope: the
   value of a context variable. */
typedef struct ShieldMarkObj {
    PyObject_HEAD
    /* Both are borrowed, and NULL when the scope has been left.  Of a host
       that is not the task in question only the address is looked at, for
       it may belong to another tree. */
    struct TaskObj *sm_host;
    scope_node *sm_node;
    /* The mark of the block around that one.  Owned. */
    struct ShieldMarkObj *sm_outer;
} ShieldMarkObj;

/* What becomes of the exception that a task ends with. */
typedef enum {
    ERRORS_PROPAGATE,           /* the group of the task gets it */
    ERRORS_LOG,                 /* the exception handler of the loop gets it */
    ERRORS_RETRIEVED,           /* the code that had the task made gets it */
} task_errors_mode;

/* The life of a CancelScope. */
typedef enum {
    SCOPE_NEW,
    SCOPE_ACTIVE,
    SCOPE_EXITED,
} scope_state;

typedef struct CancelScopeObj {
    PyObject_HEAD
    scope_node cs_node;
    /* loop.time() clock; Py_INFINITY for none.  Until entry it counts from
       entry if cs_relative. */
    double cs_deadline;
    /* In the heap of the loop, if the deadline is armed; else -1. */
    Py_ssize_t cs_heap_index;
    /* In which shielded block the code was started that has armed it, or NULL.
       Owned. */
    ShieldMarkObj *cs_deadline_mark;
    /* The loop while the scope is in the tree without a host (a root, or one
       whose task has ended), else NULL.  Owned. */
    PyObject *cs_loop;
    /* Told what becomes of the members; NULL if there is no group.  Owned;
       once the host has ended, a weak reference. */
    PyObject *cs_group;
    Py_ssize_t cs_members;      /* the tasks right below that are not done */
    /* Where the scope was entered, in debug mode, else NULL.  Owned. */
    PyObject *cs_origin;
    /* While it is shielded and active: the mark in the context of its code,
       and the token that takes it out.  Both owned, or NULL. */
    ShieldMarkObj *cs_mark;
    PyObject *cs_mark_token;
    scope_state cs_state;
    unsigned cs_in_tree: 1;     /* entered and not left; not a root */
    unsigned cs_is_root: 1;
    unsigned cs_relative: 1;
    unsigned cs_expired: 1;     /* the deadline was the first to ask */
    unsigned cs_caught: 1;
    unsigned cs_watched: 1;     /* the group wants to know of a cancellation */
    unsigned cs_movable: 1;     /* of a timeout or a group: any task may leave
                                   it */
    unsigned cs_moved: 1;       /* it has been moved to the task that leaves
                                   it, which is to be reported */
    unsigned cs_orphaned: 1;    /* its task was destroyed while pending */
} CancelScopeObj;

/* Type check for the object of a scope. */
#define CancelScope_Check(op)                                           \
    (PyType_GetBaseByToken(Py_TYPE(op), &CancelScope_spec, NULL) > 0)

#define CancelScope_CAST(op) ((CancelScopeObj *)(op))
#define LoopState_CAST(op) ((LoopStateObj *)(op))

static PyType_Spec CancelScope_spec;
static void CancelScope_dealloc(PyObject *op);

static inline void deadlines_remove(CancelScopeObj *scope);
static PyObject *cancelscopes_attr(const char *name);
static PyObject *cancel_debug_attr(const char *name);

#endif /* ASYNCIO_SCOPES_H */
