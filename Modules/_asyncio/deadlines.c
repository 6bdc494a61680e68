/* The deadlines of scopes: one heap and one timer for each event loop.

   Included by _asynciomodule.c; scopes.h says how the timer is used. */

static int
call_soon(asyncio_state *state, PyObject *loop, PyObject *func, PyObject *arg,
          PyObject *ctx);

static inline void
deadlines_put(DeadlinesObj *self, Py_ssize_t index, CancelScopeObj *scope)
{
    self->dl_heap[index] = scope;
    scope->cs_heap_index = index;
}

/* Let the entry at `index` rise or sink to where it belongs. */
static void
deadlines_settle(DeadlinesObj *self, Py_ssize_t index)
{
    CancelScopeObj **heap = self->dl_heap;
    CancelScopeObj *scope = heap[index];

    while (index > 0) {
        Py_ssize_t above = (index - 1) / 2;
        if (heap[above]->cs_deadline <= scope->cs_deadline) {
            break;
        }
        deadlines_put(self, index, heap[above]);
        index = above;
    }
    for (;;) {
        Py_ssize_t below = 2 * index + 1;
        if (below >= self->dl_size) {
            break;
        }
        if (below + 1 < self->dl_size
            && heap[below + 1]->cs_deadline < heap[below]->cs_deadline)
        {
            below++;
        }
        if (scope->cs_deadline <= heap[below]->cs_deadline) {
            break;
        }
        deadlines_put(self, index, heap[below]);
        index = below;
    }
    deadlines_put(self, index, scope);
}

/* Return the reference that the scope had, to be released when the tree is not
   locked any more, or NULL. */
static DeadlinesObj *
deadlines_remove(CancelScopeObj *scope)
{
    DeadlinesObj *self = scope->cs_deadlines;
    if (self == NULL) {
        return NULL;
    }
    Py_ssize_t index = scope->cs_heap_index;
    CancelScopeObj *last = self->dl_heap[--self->dl_size];
    if (last != scope) {
        deadlines_put(self, index, last);
        deadlines_settle(self, index);
    }
    scope->cs_deadlines = NULL;
    Py_CLEAR(scope->cs_deadline_mark);      /* That runs no other code. */
    return self;
}

/* The timer that was armed, if it still exists, in place of `timer`, which is
   what dl_timer was. */
static PyObject *
deadlines_timer(PyObject *timer)
{
    if (timer != NULL && PyWeakref_Check(timer)) {
        PyObject *weak = timer;
        timer = NULL;
        if (PyWeakref_GetRef(weak, &timer) < 0) {
            PyErr_Clear();
        }
        Py_DECREF(weak);
    }
    return timer;
}

/* Is the timer due by then?  The tree is locked. */
static bool
deadlines_are_armed(DeadlinesObj *self, double when)
{
    PyObject *timer = self->dl_timer;
    /* (A dead one: somebody has thrown the loop's timers away.) */
    return timer != NULL && self->dl_armed <= when
        && !(PyWeakref_Check(timer) && PyWeakref_IsDead(timer));
}

/* Set the timer for the earliest deadline, if it is not due by then anyway. */
static int
deadlines_arm(DeadlinesObj *self)
{
    tree_lock_loop(self->dl_loop);
    double when = self->dl_size == 0 ? Py_INFINITY
                                     : self->dl_heap[0]->cs_deadline;
    bool is_armed = when == Py_INFINITY || deadlines_are_armed(self, when);
    tree_unlock_loop(self->dl_loop);
    if (is_armed) {
        return 0;
    }
    PyObject *when_obj = PyFloat_FromDouble(when);
    if (when_obj == NULL) {
        return -1;
    }
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    /* The timer tells us what it was set for: there can be one more. */
    PyObject *args[] = {
        self->dl_loop, when_obj, (PyObject *)self, when_obj, self->dl_context,
    };
    PyObject *timer = PyObject_VectorcallMethod(
        &_Py_ID(call_at), args, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET,
        state->context_kwname);
    Py_DECREF(when_obj);
    if (timer == NULL) {
        return -1;
    }
    /* The timer owns us, so own it only if there is no other way (the loop does
       not keep it, or it takes no weak reference): a loop that is closed with
       its timers is to go away at once. */
    if (Py_REFCNT(timer) > 1) {
        PyObject *weak = PyWeakref_NewRef(timer, NULL);
        if (weak != NULL) {
            Py_DECREF(timer);
            timer = weak;
        }
        else if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
        }
        else {
            Py_DECREF(timer);
            return -1;
        }
    }
    /* The one that it replaces has served until now, in case that this fails;
       but what the loop did meanwhile may have set an earlier one. */
    tree_lock_loop(self->dl_loop);
    PyObject *other = timer;
    if (!deadlines_are_armed(self, when)) {
        other = self->dl_timer;
        self->dl_timer = timer;
        self->dl_armed = when;
    }
    tree_unlock_loop(self->dl_loop);
    other = deadlines_timer(other);
    if (other != NULL) {
        PyObject *res = PyObject_CallMethodNoArgs(other, &_Py_ID(cancel));
        Py_DECREF(other);
        if (res == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_Exception)) {
                return -1;
            }
            /* It may well come: see Deadlines_call(). */
            PyErr_FormatUnraisable("Exception ignored while a timer of %R was "
                                   "cancelled", self->dl_loop);
            return 0;
        }
        Py_DECREF(res);
    }
    return 0;
}

/* The DeadlinesObj of a loop, a new reference, or NULL.  The tree is locked. */
static DeadlinesObj *
deadlines_find(asyncio_state *state, PyObject *loop)
{
    struct llist_node *node;
    llist_for_each(node, &state->registries[tree_of_loop(loop)].deadlines) {
        DeadlinesObj *self = llist_data(node, DeadlinesObj, dl_registry);
        if (self->dl_loop == loop && try_incref((PyObject *)self)) {
            return self;
        }
    }
    return NULL;
}

/* The DeadlinesObj of a loop, which is made if need be; a new reference. */
static DeadlinesObj *
deadlines_of_loop(asyncio_state *state, PyObject *loop)
{
    tree_lock_loop(loop);
    DeadlinesObj *self = deadlines_find(state, loop);
    tree_unlock_loop(loop);
    if (self != NULL) {
        return self;
    }
    PyObject *context = PyContext_New();
    if (context == NULL) {
        return NULL;
    }
    self = PyObject_GC_New(DeadlinesObj, state->DeadlinesType);
    if (self == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    self->dl_loop = Py_NewRef(loop);
    self->dl_context = context;
    self->dl_timer = NULL;
    self->dl_armed = 0;
    self->dl_failing = false;
    self->dl_heap = NULL;
    self->dl_size = 0;
    self->dl_allocated = 0;
#ifdef Py_GIL_DISABLED
    _PyObject_SetMaybeWeakref((PyObject *)self);
#endif
    self->dl_registry.next = NULL;
    tree_lock_loop(loop);
    /* Another thread may have been faster: a loop has one heap. */
    DeadlinesObj *other = deadlines_find(state, loop);
    if (other == NULL) {
        llist_insert_tail(&state->registries[tree_of_loop(loop)].deadlines,
                          &self->dl_registry);
    }
    tree_unlock_loop(loop);
    PyObject_GC_Track(self);
    if (other != NULL) {
        Py_DECREF(self);
        return other;
    }
    return self;
}

/* Put a scope with a deadline on the heap of its host's loop, if there is still
   need for that. */
static int
deadlines_add(asyncio_state *state, CancelScopeObj *scope, PyObject *loop)
{
    DeadlinesObj *self = deadlines_of_loop(state, loop);
    if (self == NULL) {
        return -1;
    }
    ShieldMarkObj *mark;
    if (shield_mark_get(state, &mark) < 0) {
        Py_DECREF(self);
        return -1;
    }
    if (mark != NULL) {
        Py_SETREF(mark, shield_mark_skip(mark));
    }
    scope_node *node = &scope->cs_node;
    int res = 0;
    tree_lock(node);
    if (scope->cs_state == SCOPE_ACTIVE && !node->requested
        && scope->cs_deadlines == NULL && scope->cs_deadline != Py_INFINITY)
    {
        if (self->dl_size == self->dl_allocated) {
            Py_ssize_t allocated = self->dl_allocated * 2 + 8;
            CancelScopeObj **heap = PyMem_Realloc(
                self->dl_heap, allocated * sizeof(CancelScopeObj *));
            if (heap == NULL) {
                tree_unlock(node);
                Py_XDECREF(mark);
                Py_DECREF(self);
                PyErr_NoMemory();
                return -1;
            }
            self->dl_heap = heap;
            self->dl_allocated = allocated;
        }
        scope->cs_deadlines = (DeadlinesObj *)Py_NewRef(self);
        scope->cs_deadline_mark = mark;
        mark = NULL;
        deadlines_put(self, self->dl_size++, scope);
        deadlines_settle(self, scope->cs_heap_index);
    }
    tree_unlock(node);
    Py_XDECREF(mark);
    /* The loop may do anything, such as to have the scope left. */
    res = deadlines_arm(self);
    if (res < 0) {
        tree_lock(node);
        DeadlinesObj *removed = NULL;
        /* (Once the timer is set only its predecessor can have failed.) */
        if (scope->cs_deadlines == self
            && !deadlines_are_armed(self, scope->cs_deadline))
        {
            removed = deadlines_remove(scope);
        }
        tree_unlock(node);
        Py_XDECREF(removed);
    }
    Py_DECREF(self);
    return res;
}

static int
loop_time(PyObject *loop, double *now)
{
    PyObject *res = PyObject_CallMethodNoArgs(loop, &_Py_ID(time));
    if (res == NULL) {
        return -1;
    }
    *now = PyFloat_AsDouble(res);
    Py_DECREF(res);
    return *now == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* Interrupt the tasks of a list, which is released, on behalf of code that was
   started in a shielded block, as the timer of this deadline alone would. */
static int
deadlines_interrupt_marked(asyncio_state *state, PyObject *mark, PyObject *hosts)
{
    PyObject *error = NULL;
    PyObject *token = PyContextVar_Set(state->shield_mark, mark);
    if (token == NULL) {
        keep_error(&error);
    }
    if (scope_finish_update(0, hosts) < 0) {
        keep_error(&error);
    }
    if (token != NULL) {
        if (PyContextVar_Reset(state->shield_mark, token) < 0) {
            keep_error(&error);
        }
        Py_DECREF(token);
    }
    return raise_kept(error);
}

/* A deadline has passed, the scope is off the heap.  Add its tasks to *hosts, or
   with its mark, the reference to which is taken, to *marked. */
static int
deadlines_expire(CancelScopeObj *scope, ShieldMarkObj *mark, PyObject **hosts,
                 PyObject **marked)
{
    scope->cs_expired = 1;
    scope->cs_node.requested = 1;
    int res = 0;
    PyObject *own = NULL;
    if (scope->cs_node.tree_cause == NULL) {
        res = scope_mark(&scope->cs_node, mark == NULL ? hosts : &own);
    }
    if (own != NULL
        && ((*marked == NULL && (*marked = PyList_New(0)) == NULL)
            || PyList_Append(*marked, (PyObject *)mark) < 0
            || PyList_Append(*marked, own) < 0))
    {
        res = -1;
    }
    Py_XDECREF(own);
    Py_XDECREF(mark);
    return res;
}

/* The timer is due: cancel the scopes whose deadline has passed. */
static PyObject *
Deadlines_call(PyObject *op, PyObject *args, PyObject *Py_UNUSED(kwds))
{
    DeadlinesObj *self = Deadlines_CAST(op);
    double now, when;
    PyObject *hosts = NULL, *marked = NULL, *timer = NULL;
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    int res = 0;

    if (!PyArg_ParseTuple(args, "d", &when)) {
        return NULL;
    }
    tree_lock_loop(self->dl_loop);
    if (self->dl_armed <= when) {
        timer = self->dl_timer;
        self->dl_timer = NULL;
    }
    tree_unlock_loop(self->dl_loop);
    Py_XDECREF(timer);
    if (loop_time(self->dl_loop, &now) < 0) {
        /* It is late enough for what the timer was set for. */
        PyErr_FormatUnraisable("Exception ignored in time() of %R",
                               self->dl_loop);
        now = when;
    }
    /* Loops run a timer up to one tick of the clock too early. */
    now = Py_MAX(now, when);
    tree_lock_loop(self->dl_loop);
    while (self->dl_size > 0 && self->dl_heap[0]->cs_deadline <= now) {
        CancelScopeObj *scope = self->dl_heap[0];
        ShieldMarkObj *mark = scope->cs_deadline_mark;
        scope->cs_deadline_mark = NULL;
        Py_DECREF(deadlines_remove(scope));     /* It is not the last one. */
        if (deadlines_expire(scope, mark, &hosts, &marked) < 0) {
            res = -1;
        }
    }
    tree_unlock_loop(self->dl_loop);
    PyObject *error = NULL;
    if (res < 0) {
        keep_error(&error);
    }
    bool was_failing = self->dl_failing;
    self->dl_failing = deadlines_arm(self) < 0;
    if (self->dl_failing) {
        /* No other scope must miss its deadline for that: try again, each tick,
           but complain once. */
        if (was_failing && !is_interrupt(PyErr_Occurred())) {
            PyErr_Clear();
        }
        else {
            keep_error(&error);
        }
        if (call_soon(state, self->dl_loop, op,
                      PyTuple_GET_ITEM(args, 0), self->dl_context) < 0)
        {
            keep_error(&error);
        }
    }
    if (scope_finish_update(0, hosts) < 0) {
        keep_error(&error);
    }
    for (Py_ssize_t i = 0; marked != NULL && i + 1 < PyList_GET_SIZE(marked);
         i += 2)
    {
        if (deadlines_interrupt_marked(
                state, PyList_GET_ITEM(marked, i),
                Py_NewRef(PyList_GET_ITEM(marked, i + 1))) < 0)
        {
            keep_error(&error);
        }
    }
    Py_XDECREF(marked);
    if (raise_kept(error) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
Deadlines_traverse(PyObject *op, visitproc visit, void *arg)
{
    DeadlinesObj *self = Deadlines_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dl_loop);
    Py_VISIT(self->dl_context);
    Py_VISIT(self->dl_timer);
    return 0;
}

static int
Deadlines_clear(PyObject *op)
{
    /* The loop stays: it is what the registry goes by. */
    DeadlinesObj *self = Deadlines_CAST(op);
    tree_lock_loop(self->dl_loop);
    PyObject *timer = self->dl_timer;
    self->dl_timer = NULL;
    tree_unlock_loop(self->dl_loop);
    Py_XDECREF(timer);
    return 0;
}

static void
Deadlines_dealloc(PyObject *op)
{
    DeadlinesObj *self = Deadlines_CAST(op);
    PyTypeObject *tp = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    assert(self->dl_size == 0);
    tree_lock_loop(self->dl_loop);
    if (self->dl_registry.next != NULL) {
        llist_remove(&self->dl_registry);   /* The module is still there. */
    }
    tree_unlock_loop(self->dl_loop);
    PyMem_Free(self->dl_heap);
    Py_CLEAR(self->dl_timer);
    Py_CLEAR(self->dl_context);
    Py_CLEAR(self->dl_loop);
    tp->tp_free(self);
    Py_DECREF(tp);
}

static PyType_Slot Deadlines_slots[] = {
    {Py_tp_dealloc, Deadlines_dealloc},
    {Py_tp_traverse, Deadlines_traverse},
    {Py_tp_clear, Deadlines_clear},
    {Py_tp_call, Deadlines_call},
    {0, NULL},
};

static PyType_Spec Deadlines_spec = {
    .name = "_asyncio._Deadlines",
    .basicsize = sizeof(DeadlinesObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE),
    .slots = Deadlines_slots,
};
