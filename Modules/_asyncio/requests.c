/* What Task.cancel(), Task.cancelling() and Task.uncancel() do.

   Included by _asynciomodule.c; Lib/asyncio/_cancel_requests.py is the same in
   Python.

   A request is made to a scope of the task: to its own scope; or to a shielded
   one, if it comes from code that was started in that block, which the context
   of that code tells.  It is a canceller for the scopes of the task below that
   one (host_requested).  If no Future took it, it is also pending
   (host_pending of that scope, and task_must_cancel if that is so for any
   scope): it then overrides the Future's outcome on leaving SCHEDULED, and
   cancels the task if its coroutine ends.  While a shield hides the scope, it
   waits for the shield to be left.

   As long as Task.cancel() is edge-triggered (level_cancel of the module
   state is false), a request is pending only, and the scope is not
   cancelled. */


/* ----- Marks of shielded blocks ----- */

/* What the marks refer to is guarded by the lock of its tree, but code of
   several trees can share the marks of a context. */
#ifdef Py_GIL_DISABLED
static PyMutex marks_mutex;
#  define LOCK_MARKS() PyMutex_Lock(&marks_mutex)
#  define UNLOCK_MARKS() PyMutex_Unlock(&marks_mutex)
#else
#  define LOCK_MARKS()
#  define UNLOCK_MARKS()
#endif

/* Return true if the scope of the mark has been left. */
static inline bool
shield_mark_is_over(ShieldMarkObj *mark)
{
    return FT_ATOMIC_LOAD_PTR_RELAXED(mark->sm_host) == NULL;
}

/* The mark in the current context, a new reference, or NULL. */
static int
shield_mark_get(asyncio_state *state, ShieldMarkObj **mark)
{
    PyObject *value;
    if (PyContextVar_Get(state->shield_mark, NULL, &value) < 0) {
        return -1;
    }
    if (value != NULL && !Py_IS_TYPE(value, state->ShieldMarkType)) {
        Py_CLEAR(value);
    }
    *mark = (ShieldMarkObj *)value;
    return 0;
}

/* A new reference to the first mark, from this one outwards, whose scope
   has not been left, or NULL. */
static ShieldMarkObj *
shield_mark_skip(ShieldMarkObj *mark)
{
    LOCK_MARKS();
    while (mark != NULL && shield_mark_is_over(mark)) {
        mark = mark->sm_outer;
    }
    Py_XINCREF(mark);
    UNLOCK_MARKS();
    return mark;
}

/* Mark the current context: its code runs in a shielded scope, which the
   current task has entered. */
static int
scope_add_mark(asyncio_state *state, CancelScopeObj *self, TaskObj *task)
{
    scope_node *node = &self->cs_node;
    ShieldMarkObj *outer, *mark;
    if (shield_mark_get(state, &outer) < 0) {
        return -1;
    }
    /* Leave out what has been left, also right above the next one, so that
       code which goes on and on starting code leaves no chain behind. */
    if (outer != NULL) {
        Py_SETREF(outer, shield_mark_skip(outer));
    }
    if (outer != NULL) {
        /* Under one lock: other threads may shorten the same chain. */
        LOCK_MARKS();
        ShieldMarkObj *before = outer->sm_outer;
        ShieldMarkObj *next = before;
        while (next != NULL && shield_mark_is_over(next)) {
            next = next->sm_outer;
        }
        outer->sm_outer = (ShieldMarkObj *)Py_XNewRef(next);
        UNLOCK_MARKS();
        Py_XDECREF(before);
    }
    mark = PyObject_New(ShieldMarkObj, state->ShieldMarkType);
    if (mark == NULL) {
        Py_XDECREF(outer);
        return -1;
    }
    mark->sm_outer = outer;
    mark->sm_host = NULL;
    mark->sm_node = NULL;
    PyObject *token = PyContextVar_Set(state->shield_mark, (PyObject *)mark);
    if (token == NULL) {
        Py_DECREF(mark);
        return -1;
    }
    tree_lock(node);
    if (self->cs_state == SCOPE_ACTIVE && node->host == task
        && self->cs_mark == NULL)
    {
        FT_ATOMIC_STORE_PTR_RELAXED(mark->sm_host, task);
        mark->sm_node = node;
        self->cs_mark = mark;
        self->cs_mark_token = token;
        task->task_own_scope.has_shields = 1;
        mark = NULL;
        token = NULL;
    }
    tree_unlock(node);
    Py_XDECREF(mark);
    Py_XDECREF(token);
    return 0;
}

/* The scope is about to be left.  Return the mark that it had, to be given to
   shield_mark_remove(), and put its token into *token. */
static ShieldMarkObj *
scope_take_mark(CancelScopeObj *self, PyObject **token)
{
    ShieldMarkObj *mark = self->cs_mark;
    *token = self->cs_mark_token;
    self->cs_mark = NULL;
    self->cs_mark_token = NULL;
    if (mark != NULL) {
        mark->sm_node = NULL;
        FT_ATOMIC_STORE_PTR_RELAXED(mark->sm_host, NULL);
    }
    return mark;
}

/* Take a mark out of the current context, if it is there, and release
   it.  Keeps the current exception. */
static void
shield_mark_remove(asyncio_state *state, ShieldMarkObj *mark, PyObject *token)
{
    PyObject *exc = PyErr_GetRaisedException();
    ShieldMarkObj *current = NULL;
    if (shield_mark_get(state, &current) == 0 && current == mark
        && PyContextVar_Reset(state->shield_mark, token) < 0)
    {
        /* The scope was entered in another context. */
        PyErr_Clear();
        LOCK_MARKS();
        PyObject *outer = Py_NewRef(mark->sm_outer == NULL ? Py_None
                                    : (PyObject *)mark->sm_outer);
        UNLOCK_MARKS();
        Py_XDECREF(PyContextVar_Set(state->shield_mark, outer));
        Py_DECREF(outer);
    }
    PyErr_Clear();
    Py_XDECREF(current);
    Py_DECREF(mark);
    Py_DECREF(token);
    PyErr_SetRaisedException(exc);
}

static void
ShieldMark_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ShieldMarkObj *outer = ((ShieldMarkObj *)op)->sm_outer;
    PyObject_Free(op);
    Py_DECREF(tp);
    /* One after the other: there may be thousands. */
    while (outer != NULL
           && _PyObject_IsUniquelyReferenced((PyObject *)outer))
    {
        ShieldMarkObj *next = outer->sm_outer;
        outer->sm_outer = NULL;
        Py_DECREF(outer);
        outer = next;
    }
    Py_XDECREF(outer);
}

static PyType_Slot ShieldMark_slots[] = {
    {Py_tp_dealloc, ShieldMark_dealloc},
    {0, NULL},
};

static PyType_Spec ShieldMark_spec = {
    .name = "_asyncio._ShieldMark",
    .basicsize = sizeof(ShieldMarkObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION |
              Py_TPFLAGS_IMMUTABLETYPE),
    .slots = ShieldMark_slots,
};

/* The scope of the task to which code with the given mark makes a
   request.  The tree is locked. */
static scope_node *
task_find_target(TaskObj *task, ShieldMarkObj *mark)
{
    scope_node *own = &task->task_own_scope;
    if (mark == NULL) {
        return own;
    }
    /* The innermost one counts; a shield that was set late has its mark before
       those of the blocks inside it. */
    scope_node *target = own;
    int marked = 0;
    LOCK_MARKS();
    for (ShieldMarkObj *each = mark; each != NULL; each = each->sm_outer) {
        if (FT_ATOMIC_LOAD_PTR_RELAXED(each->sm_host) == task
            && each->sm_node->shield)
        {
            target = each->sm_node;
            target->is_marked = 1;
            marked++;
        }
    }
    UNLOCK_MARKS();
    if (marked <= 1) {
        target->is_marked = 0;
        return target;
    }
    target = NULL;
    for (scope_node *node = task->task_scope; node != own;
         node = node->parent)
    {
        if (node->is_marked) {
            node->is_marked = 0;
            if (target == NULL) {
                target = node;
            }
        }
    }
    return target;
}


/* ----- Requests ----- */

/* Restore the invariant in `top`, a scope of the task, and in those that it
   has entered below, after a change that concerns no other task. */
static void
task_update_path(TaskObj *task, scope_node *top)
{
    scope_node *canceller = scope_find_canceller(top, top->member_canceller);
    /* Those from `start` outwards see what `top` does. */
    scope_node *start = task->task_scope;
    for (scope_node *node = start; node != top; node = node->parent) {
        if (node->member_canceller == node || node->host_requested
            || node->shield)
        {
            start = node->parent;
        }
    }
    for (scope_node *node = start; ; node = node->parent) {
        FT_ATOMIC_STORE_PTR_RELAXED(node->canceller, canceller);
        if (node == top) {
            break;
        }
    }
    if (task->task_scope->canceller == NULL) {
        task_forget_cancel_sent(task);
    }
}

/* The innermost shielded scope of the task, from `node` outwards, or its own
   scope. */
static scope_node *
task_find_shield(TaskObj *task, scope_node *node)
{
    while (node != &task->task_own_scope && !node->shield) {
        node = node->parent;
    }
    return node;
}

/* The scope is about to be left: requests that were made to it go on as
   requests to a scope around it; return that one, or NULL.  What is released
   is so by task_release_requests(). */
static scope_node *
scope_hand_up_requests(scope_node *node)
{
    TaskObj *task = node->host;
    if (task == NULL || node->is_task) {
        return NULL;
    }
    bool in_force = node->host_requested || node->host_pending;
    if (!in_force) {
        /* An edge-triggered one that has been delivered is in the list only. */
        shield_request *request = task->task_shield_requests;
        while (request != NULL && request->node != node) {
            request = request->before;
        }
        if (request == NULL) {
            return NULL;
        }
    }
    scope_node *own = &task->task_own_scope;
    scope_node *outer = task_find_shield(task, node->parent);
    bool is_latest = true;
    for (shield_request *request = task->task_shield_requests;
         request != NULL; request = request->before)
    {
        if (request->node != node) {
            continue;
        }
        if (outer != own) {
            request->node = outer;
            continue;
        }
        request->node = NULL;
        if (is_latest) {
            PyObject *msg = own->msg;
            own->msg = Py_IsNone(request->msg) ? NULL : request->msg;
            request->msg = msg;     /* (None needs no release.) */
            own->handed_up |= node->host_pending;
            is_latest = false;
        }
    }
    if (!in_force) {
        return NULL;
    }
    outer->host_requested |= node->host_requested;
    outer->host_pending |= node->host_pending;
    node->host_requested = node->host_pending = 0;
    task_update_path(task, node);
    task_update_path(task, outer);
    return outer->host_requested ? outer : NULL;
}

/* Release the requests of the list that are in force no more; or all of them.
   The tree is not locked. */
static void
task_release_requests(TaskObj *task, bool all)
{
    scope_node *own = &task->task_own_scope;
    shield_request *released = NULL;
    tree_lock(own);
    shield_request **link = &task->task_shield_requests;
    while (*link != NULL) {
        shield_request *request = *link;
        if (all || request->node == NULL) {
            *link = request->before;
            request->before = released;
            released = request;
        }
        else {
            link = &request->before;
        }
    }
    /* (Only now can that be stored: the last use of the message before it can
       run any code.) */
    PyObject *msg = NULL;
    if (!all && own->handed_up) {
        msg = Py_NewRef(own->msg == NULL ? Py_None : own->msg);
        own->handed_up = 0;
    }
    tree_unlock(own);
    if (msg != NULL) {
        Py_BEGIN_CRITICAL_SECTION(task);
        Py_XSETREF(task->task_cancel_msg, msg);
        Py_END_CRITICAL_SECTION();
    }
    while (released != NULL) {
        shield_request *before = released->before;
        Py_XDECREF(released->msg);
        PyMem_Free(released);
        released = before;
    }
}

/* The message of the latest request of Task.cancel() to a scope of the
   task, a new reference.  The tree is locked. */
static PyObject *
task_shielded_msg(TaskObj *task, scope_node *scope)
{
    for (shield_request *request = task->task_shield_requests;
         request != NULL; request = request->before)
    {
        if (request->node == scope) {
            return Py_NewRef(request->msg);
        }
    }
    return scope_msg(scope);
}

/* The message of the pending request to the task's own scope, a new
   reference. (Where stock asyncio has it, if it was not handed up.)  The
   tree is locked. */
static PyObject *
task_own_pending_msg(TaskObj *task)
{
    PyObject *msg = task->task_own_scope.handed_up
        ? task->task_own_scope.msg : task->task_cancel_msg;
    return Py_NewRef(msg == NULL ? Py_None : msg);
}

/* The message of a task that is cancelled as its coroutine ends. */
static PyObject *
task_end_msg(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    PyObject *msg = task_own_pending_msg(task);
    tree_unlock(own);
    return msg;
}

/* What the innermost request through Task.cancel() has to say, a new
   reference, that the code of the task can see and that has still to be
   honored; or NULL. */
static PyObject *
task_pending_msg(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    if (!task->task_must_cancel) {
        return NULL;
    }
    tree_lock(own);
    scope_node *node = task->task_scope;
    while (!node->host_pending && !node->shield && node != own) {
        node = node->parent;
    }
    PyObject *msg = !node->host_pending ? NULL
        : node == own ? task_own_pending_msg(task)
        : task_shielded_msg(task, node);
    tree_unlock(own);
    return msg;
}

/* Whether such a request is pending is known of each scope that it can be made
   to: find out if that is so for any. */
static void
task_update_pending(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    bool pending = own->host_pending;
    for (shield_request *request = task->task_shield_requests;
         request != NULL; request = request->before)
    {
        pending |= request->node != NULL && request->node->host_pending;
    }
    tree_unlock(own);
    task->task_must_cancel = pending;
}

/* There is no such request any more that the code of the task can see. */
static void
task_clear_pending(TaskObj *task)
{
    if (!task->task_must_cancel) {
        return;
    }
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    for (scope_node *node = task->task_scope; ; node = node->parent) {
        node->host_pending = 0;
        if (node == own || node->shield) {
            break;
        }
    }
    tree_unlock(own);
    task_update_pending(task);
}

/* There is one: that which was just made to `target`, or to the task's own
   scope, if the task has had that one left meanwhile: then `target` may have
   been freed, so that only its address is looked at. */
static void
task_set_pending(TaskObj *task, const scope_node *target)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    /* (A task that was never initialized has its own scope only.) */
    scope_node *scope = target == own ? own : task->task_scope;
    while (scope != own && scope != target) {
        scope = scope->parent;
    }
    scope->host_pending = 1;
    if (scope == own) {
        own->handed_up = target != own;
    }
    tree_unlock(own);
    task->task_must_cancel = 1;
}

/* A CancelledError is about to be thrown; `by_scope`: the current scope is
   cancelled.  It stands for the pending requests that the code can see.  But
   an edge-triggered one, which a waiter has taken, has to survive the
   scope, whose error this is. */
static void
task_settle_pending(asyncio_state *state, TaskObj *task, bool by_scope)
{
    if (state->level_cancel || !by_scope) {
        task_clear_pending(task);
    }
    else if (task->task_edge_taken) {
        scope_node *own = &task->task_own_scope;
        tree_lock(own);
        task_find_shield(task, task->task_scope)->host_pending = 1;
        tree_unlock(own);
        task->task_must_cancel = 1;
    }
}

/* The innermost scope that counts in task.cancelling(), from `node` outwards.
   NULL if there is no more. */
static scope_node *
task_contribution(TaskObj *task, scope_node *node)
{
    scope_node *own = &task->task_own_scope;
    for (; node != own; node = node->parent) {
        if (node->delivered && !node->uncancelled) {
            return node;
        }
    }
    /* An own scope counts for all that is outside. */
    if (own->delivered && !own->uncancelled
        && (own->requested || scope_outer_canceller(own) != NULL))
    {
        return own;
    }
    return NULL;
}

/* Task.cancel() on a task that is not done; once: interrupt one await. */
static int
task_cancel(TaskObj *task, PyObject *msg, bool once)
{
    scope_node *own = &task->task_own_scope;
    asyncio_state *state = get_asyncio_state_by_def((PyObject *)task);
    PyObject *old_msg = NULL;
    ShieldMarkObj *mark = NULL;
    shield_request *request = NULL;
    int taken = 0;

    if (own->has_shields) {
        if (shield_mark_get(state, &mark) < 0) {
            return -1;
        }
        if (mark != NULL) {
            request = PyMem_New(shield_request, 1);
            if (request == NULL) {
                Py_DECREF(mark);
                PyErr_NoMemory();
                return -1;
            }
        }
    }
    tree_lock(own);
    task->task_num_cancels_requested += 1;
    scope_node *target = task_find_target(task, mark);
    if (target != own) {
        request->node = target;
        request->msg = Py_NewRef(msg);
        request->before = task->task_shield_requests;
        task->task_shield_requests = request;
        request = NULL;
    }
    else {
        old_msg = own->msg;
        own->msg = Py_IsNone(msg) ? NULL : Py_NewRef(msg);
    }
    if (!once) {
        target->host_requested = 1;
        if (own->host != NULL) {
            task_update_path(task, target);
        }
    }
    bool ask = task->task_fut_waiter != NULL
        && scope_is_visible(target, task->task_scope);
    tree_unlock(own);
    Py_XDECREF(mark);
    PyMem_Free(request);
    if (ask) {
        /* Unlike a scope, each call asks anew: the waiter may be a Task that
           caught and ignored the request before. */
        taken = cancel_waiter(task, msg);
        task->task_edge_taken = taken > 0 && once;
    }
    if (taken == 0) {
        /* The step is scheduled or under way, or a shield holds this back. */
        task_set_pending(task, target);
        if (target == own) {
            Py_XSETREF(task->task_cancel_msg, Py_NewRef(msg));
        }
    }
    Py_XDECREF(old_msg);
    return taken < 0 ? -1 : 0;
}

static long
task_count_cancels(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    tree_lock(own);
    long count = task->task_num_cancels_requested;
    if (own->host != NULL) {
        scope_node *node = task_contribution(task, task->task_scope);
        while (node != NULL) {
            count++;
            node = node == own ? NULL : task_contribution(task, node->parent);
        }
    }
    tree_unlock(own);
    return count;
}

static void
task_uncancel(TaskObj *task)
{
    scope_node *own = &task->task_own_scope;
    scope_node *lifted = NULL;  /* the scope that has no request any more */
    PyObject *old_msg = NULL;

    if (task->task_shield_requests != NULL) {
        task_release_requests(task, false);
    }
    tree_lock(own);
    shield_request *request = task->task_shield_requests;
    if (task->task_num_cancels_requested > 0) {
        task->task_num_cancels_requested -= 1;
        if (task->task_num_cancels_requested == 0) {
            /* Nothing has to survive a scope. */
            task->task_edge_taken = 0;
        }
        if (request != NULL) {
            task->task_shield_requests = request->before;
            lifted = request->node;
            for (shield_request *other = request->before; other != NULL;
                 other = other->before)
            {
                if (other->node == lifted) {
                    lifted = NULL;
                    break;
                }
            }
        }
        else if (task->task_num_cancels_requested == 0) {
            lifted = own;
        }
        if (lifted != NULL) {
            lifted->host_requested = lifted->host_pending = 0;
            if (own->host != NULL) {
                task_update_path(task, lifted);
            }
            if (lifted == own) {
                old_msg = own->msg;
                own->msg = NULL;
            }
        }
    }
    else {
        request = NULL;
        if (own->host != NULL) {
            scope_node *node = task_contribution(task, task->task_scope);
            if (node != NULL) {
                node->uncancelled = 1;
            }
        }
    }
    tree_unlock(own);
    Py_XDECREF(old_msg);
    if (request != NULL) {
        Py_XDECREF(request->msg);
        PyMem_Free(request);
    }
    if (lifted != NULL) {
        task_update_pending(task);
        task_forget_delivery(task, lifted);
    }
}
