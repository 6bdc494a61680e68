/* Cancel scopes: the structs.

   _asynciomodule.c includes this before it defines TaskObj, which embeds a
   scope_node, and after that
     scopes.c       the tree, how it reaches the tasks, and the explanation,
     deadlines.c    the heap of deadlines that each event loop has,
     cancelscope.c  the type CancelScope and the functions of the module. */

#ifndef ASYNCIO_SCOPES_H
#define ASYNCIO_SCOPES_H

#include "pycore_llist.h"         // struct llist_node
#include <stdbool.h>

/* A scope: embedded in TaskObj (the task's own scope) and in CancelScope. */
typedef struct scope_node {
    /* All links are borrowed.  The tree owns nothing: a scope that goes away
       takes itself out of it first, and a task takes its scopes out. */

    /* The surrounding scope, NULL outside the tree. */
    struct scope_node *parent;
    /* The scope whose request cancels the code in this one: this node or one
       of its ancestors, or NULL. */
    struct scope_node *cause;
    /* Head of the scopes right below, in order of entry. */
    struct llist_node children;
    struct llist_node siblings;
    /* The task that entered the scope; for an own scope, the task that it is
       embedded in.  NULL outside the tree. */
    struct TaskObj *host;
    /* What the CancelledErrors are to say; NULL means None.  Owned. */
    PyObject *msg;
    unsigned is_task: 1;        /* embedded in a TaskObj */
    unsigned requested: 1;      /* its own cancel was requested */
    unsigned shield: 1;         /* what comes from outside is kept away */
    unsigned delivered: 1;      /* the cancellation that begins here (for an
                                   own scope: outside the task) has reached
                                   the host's coroutine */
    unsigned lifted: 1;         /* and uncancel() has discounted that */
} scope_node;

/* The life of a CancelScope. */
typedef enum {
    SCOPE_NEW,
    SCOPE_ACTIVE,
    SCOPE_LEFT,
    SCOPE_ABANDONED,            /* its task ended without leaving it */
    SCOPE_DESTROYED,            /* its task was destroyed while pending */
} scope_state;

struct DeadlinesObj;

typedef struct {
    PyObject_HEAD
    scope_node cs_node;
    /* The _PyCancelScope that stands in for this scope in a pure-Python task,
       else NULL.  Owned. */
    PyObject *cs_twin;
    /* loop.time() clock; Py_INFINITY for none.  Until entry it counts from
       entry if cs_relative. */
    double cs_deadline;
    /* The heap that holds this scope while its deadline is armed.  Owned. */
    struct DeadlinesObj *cs_deadlines;
    Py_ssize_t cs_heap_index;
    scope_state cs_state;
    unsigned cs_relative: 1;
    unsigned cs_expired: 1;     /* the deadline was the first to ask */
    unsigned cs_caught: 1;
} CancelScopeObj;

/* All armed deadlines of one event loop, behind a single timer.

   The timer is set for the earliest deadline there was when it was set, and is
   moved only when an earlier one comes: leaving a scope just takes it off the
   heap.  So a program that opens a scope with a deadline again and again sets
   one timer in a while instead of one a scope. */
typedef struct DeadlinesObj {
    PyObject_HEAD
    PyObject *dl_loop;
    PyObject *dl_context;       /* empty: the timer works for everybody */
    PyObject *dl_timer;         /* the TimerHandle, by weak reference if it
                                   can be had; NULL while not armed */
    double dl_armed;            /* when it is due */
    /* A binary heap.  Borrowed: a scope in it owns the DeadlinesObj. */
    CancelScopeObj **dl_heap;
    Py_ssize_t dl_size;
    Py_ssize_t dl_allocated;
    struct llist_node dl_registry;  /* in asyncio_state.deadlines */
} DeadlinesObj;

#define CancelScope_CAST(op) ((CancelScopeObj *)(op))
#define Deadlines_CAST(op) ((DeadlinesObj *)(op))

static void deadlines_remove(CancelScopeObj *scope);

#endif /* ASYNCIO_SCOPES_H */
