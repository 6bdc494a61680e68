/* Cancel scopes: what TaskObj embeds, and the hooks that the task calls.

   Included by _asynciomodule.c before TaskObj is defined; the implementation,
   with the explanations, is scopes.c. */

#ifndef ASYNCIO_SCOPES_H
#define ASYNCIO_SCOPES_H

#include "pycore_llist.h"         // struct llist_node
#include <stdbool.h>

/* A scope: embedded in TaskObj (the task's own scope) and in CancelScope. */
typedef struct scope_node {
    /* The surrounding scope, NULL outside the tree.  A reference is held to
       the object that it is embedded in, unless that is the node's own host,
       which outlives its scopes: see scope_owns_parent(). */
    struct scope_node *parent;
    /* The scope whose request cancels the code in this one: this node or one
       of its ancestors, or NULL.  Borrowed. */
    struct scope_node *cause;
    /* Head of the scopes right below, in order of entry.  Borrowed: they are
       the ones that own their parent. */
    struct llist_node children;
    struct llist_node siblings;
    /* The task that entered the scope; for an own scope, the task that it is
       embedded in.  NULL outside the tree.  Borrowed: a task takes its scopes
       out of the tree when it ends or is deallocated. */
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

#endif /* ASYNCIO_SCOPES_H */
