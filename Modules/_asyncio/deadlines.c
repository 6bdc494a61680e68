/* The deadlines of scopes: one heap and one timer for each event loop.

   Included by _asynciomodule.c; scopes.h says how the timer is used. */

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

static void
deadlines_remove(CancelScopeObj *scope)
{
    DeadlinesObj *self = scope->cs_deadlines;
    if (self == NULL) {
        return;
    }
    Py_ssize_t index = scope->cs_heap_index;
    CancelScopeObj *last = self->dl_heap[--self->dl_size];
    if (last != scope) {
        deadlines_put(self, index, last);
        deadlines_settle(self, index);
    }
    scope->cs_deadlines = NULL;
    Py_DECREF(self);
}

/* The timer that is armed, if it still exists: a new reference. */
static PyObject *
deadlines_take_timer(DeadlinesObj *self)
{
    PyObject *timer = self->dl_timer;
    self->dl_timer = NULL;
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

/* Set the timer for the earliest deadline, if it is not due by then anyway. */
static int
deadlines_arm(DeadlinesObj *self)
{
    if (self->dl_size == 0) {
        return 0;
    }
    double when = self->dl_heap[0]->cs_deadline;
    if (self->dl_timer != NULL
        && PyWeakref_Check(self->dl_timer) && PyWeakref_IsDead(self->dl_timer))
    {
        /* Somebody has thrown the loop's timers away. */
        Py_CLEAR(self->dl_timer);
    }
    if (self->dl_timer != NULL) {
        if (self->dl_armed <= when) {
            return 0;
        }
        PyObject *timer = deadlines_take_timer(self);
        if (timer != NULL) {
            PyObject *res = PyObject_CallMethodNoArgs(timer, &_Py_ID(cancel));
            Py_DECREF(timer);
            if (res == NULL) {
                return -1;
            }
            Py_DECREF(res);
        }
    }
    PyObject *when_obj = PyFloat_FromDouble(when);
    if (when_obj == NULL) {
        return -1;
    }
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    PyObject *args[] = {
        self->dl_loop, when_obj, (PyObject *)self, self->dl_context,
    };
    PyObject *timer = PyObject_VectorcallMethod(
        &_Py_ID(call_at), args, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET,
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
    self->dl_armed = when;
    Py_XSETREF(self->dl_timer, timer);
    return 0;
}

/* The DeadlinesObj of a loop; a new reference. */
static DeadlinesObj *
deadlines_of_loop(asyncio_state *state, PyObject *loop)
{
    struct llist_node *node;
    llist_for_each(node, &state->deadlines) {
        DeadlinesObj *self = llist_data(node, DeadlinesObj, dl_registry);
        if (self->dl_loop == loop) {
            return (DeadlinesObj *)Py_NewRef(self);
        }
    }
    DeadlinesObj *self = PyObject_GC_New(DeadlinesObj, state->DeadlinesType);
    if (self == NULL) {
        return NULL;
    }
    self->dl_loop = Py_NewRef(loop);
    self->dl_context = NULL;
    self->dl_timer = NULL;
    self->dl_armed = 0;
    self->dl_heap = NULL;
    self->dl_size = 0;
    self->dl_allocated = 0;
    llist_insert_tail(&state->deadlines, &self->dl_registry);
    PyObject_GC_Track(self);
    self->dl_context = PyContext_New();
    if (self->dl_context == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* Put a scope with a deadline on the heap of its host's loop. */
static int
deadlines_add(asyncio_state *state, CancelScopeObj *scope, PyObject *loop)
{
    assert(scope->cs_deadlines == NULL);
    DeadlinesObj *self = deadlines_of_loop(state, loop);
    if (self == NULL) {
        return -1;
    }
    if (self->dl_size == self->dl_allocated) {
        Py_ssize_t allocated = self->dl_allocated * 2 + 8;
        CancelScopeObj **heap = PyMem_Realloc(
            self->dl_heap, allocated * sizeof(CancelScopeObj *));
        if (heap == NULL) {
            Py_DECREF(self);
            PyErr_NoMemory();
            return -1;
        }
        self->dl_heap = heap;
        self->dl_allocated = allocated;
    }
    scope->cs_deadlines = self;
    deadlines_put(self, self->dl_size++, scope);
    deadlines_settle(self, scope->cs_heap_index);
    /* The loop may do anything, such as to have the scope left. */
    Py_INCREF(self);
    int res = deadlines_arm(self);
    if (res < 0 && scope->cs_deadlines == self) {
        deadlines_remove(scope);
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

/* The timer is due: cancel the scopes whose deadline has passed. */
static PyObject *
Deadlines_call(PyObject *op, PyObject *Py_UNUSED(args),
               PyObject *Py_UNUSED(kwds))
{
    DeadlinesObj *self = Deadlines_CAST(op);
    double now;
    PyObject *hosts = NULL;
    int res = 0;

    Py_CLEAR(self->dl_timer);
    if (loop_time(self->dl_loop, &now) < 0) {
        /* It is late enough for what was armed. */
        PyErr_FormatUnraisable("Exception ignored in time() of %R",
                               self->dl_loop);
        now = self->dl_armed;
    }
    /* Loops run a timer up to one tick of the clock too early. */
    now = Py_MAX(now, self->dl_armed);
    while (self->dl_size > 0 && self->dl_heap[0]->cs_deadline <= now) {
        CancelScopeObj *scope = self->dl_heap[0];
        deadlines_remove(scope);
        scope->cs_expired = 1;
        scope->cs_node.requested = 1;
        if (scope->cs_node.cause == NULL
            && scope_mark(&scope->cs_node, &hosts) < 0)
        {
            res = -1;
        }
    }
    if (res == 0) {
        res = deadlines_arm(self);
    }
    if (scope_finish_update(res, hosts) < 0) {
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
    Py_CLEAR(self->dl_timer);
    return 0;
}

static void
Deadlines_dealloc(PyObject *op)
{
    DeadlinesObj *self = Deadlines_CAST(op);
    PyTypeObject *tp = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    assert(self->dl_size == 0);
    if (self->dl_registry.next != NULL) {
        llist_remove(&self->dl_registry);   /* The module is still there. */
    }
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
