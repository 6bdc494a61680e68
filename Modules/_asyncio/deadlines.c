/* What each event loop has: the root of its tree, and one heap and one timer
   for the deadlines of scopes.

   Included by _asynciomodule.c; scopes.h says how the timer is used. */

static int
call_soon(asyncio_state *state, PyObject *loop, PyObject *func, PyObject *arg,
          PyObject *ctx);


/* ----- The state of a loop ----- */

static int
init_loop_table(asyncio_state *state)
{
    loop_table *table = PyMem_Calloc(1, sizeof(loop_table));
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    table->users = 1;
    table->states = _Py_hashtable_new(_Py_hashtable_hash_ptr,
                                      _Py_hashtable_compare_direct);
    if (table->states == NULL) {
        PyMem_Free(table);
        PyErr_NoMemory();
        return -1;
    }
    state->loop_table = table;
    return 0;
}

/* The module, or a LoopStateObj, does not use the table any more. */
static void
release_loop_table(loop_table *table)
{
    if (table == NULL) {
        return;
    }
    LOCK_LOOP_TABLE(table);
    bool unused = --table->users == 0;
    UNLOCK_LOOP_TABLE(table);
    if (unused) {
        _Py_hashtable_destroy(table->states);
        PyMem_Free(table);
    }
}

/* Return the LoopStateObj that the table has for a loop, or NULL.  One of a
   loop that had the same address is taken out.  The table is locked. */
static LoopStateObj *
loop_table_find(loop_table *table, PyObject *loop)
{
    LoopStateObj *self = table->latest;
    if (self == NULL || self->ls_loop != loop) {
        self = _Py_hashtable_get(table->states, loop);
    }
    if (self == NULL) {
        return NULL;
    }
    if ((PyWeakref_Check(self->ls_loop_ref)
         && PyWeakref_IsDead(self->ls_loop_ref))
        || !try_incref((PyObject *)self))
    {
        _Py_hashtable_steal(table->states, loop);
        table->latest = NULL;
        return NULL;
    }
    table->latest = self;
    return self;
}

/* Return the LoopStateObj of a loop, which is made if need be; a new
   reference. It exists as long as tasks, scopes or a timer refer to it. */
static LoopStateObj *
loop_state_of(asyncio_state *state, PyObject *loop)
{
    loop_table *table = state->loop_table;
    LOCK_LOOP_TABLE(table);
    LoopStateObj *self = loop_table_find(table, loop);
    UNLOCK_LOOP_TABLE(table);
    if (self != NULL) {
        return self;
    }

    PyObject *ref = PyWeakref_NewRef(loop, NULL);
    if (ref == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
            return NULL;
        }
        PyErr_Clear();
        ref = Py_NewRef(loop);
    }
    LoopStateObj *made = PyObject_GC_New(LoopStateObj, state->LoopStateType);
    if (made == NULL) {
        Py_DECREF(ref);
        return NULL;
    }
    made->ls_table = table;
    made->ls_loop = loop;
    made->ls_loop_ref = ref;
#ifdef Py_GIL_DISABLED
    made->ls_mutex = (PyMutex){0};
    _PyObject_SetMaybeWeakref((PyObject *)made);
#endif
    llist_init(&made->ls_roots);
    made->ls_heap = NULL;
    made->ls_heap_size = 0;
    made->ls_heap_allocated = 0;
    made->ls_timer = NULL;
    made->ls_timer_when = 0;
    made->ls_timer_failing = false;

    LOCK_LOOP_TABLE(table);
    table->users++;
    /* Another thread may have been faster. */
    self = loop_table_find(table, loop);
    bool failed = false;
    if (self == NULL) {
        failed = _Py_hashtable_set(table->states, loop, made) < 0;
        table->latest = failed ? NULL : made;
    }
    UNLOCK_LOOP_TABLE(table);
    PyObject_GC_Track(made);
    if (self != NULL || failed) {
        Py_DECREF(made);
    }
    if (failed) {
        PyErr_NoMemory();
        return NULL;
    }
    return self != NULL ? self : made;
}

/* From now on no task or scope gets this one. */
static void
loop_state_take_out(LoopStateObj *self)
{
    loop_table *table = self->ls_table;
    LOCK_LOOP_TABLE(table);
    if (table->latest == self) {
        table->latest = NULL;
    }
    if (_Py_hashtable_get(table->states, self->ls_loop) == self) {
        _Py_hashtable_steal(table->states, self->ls_loop);
    }
    UNLOCK_LOOP_TABLE(table);
}

static void
LoopState_dealloc(PyObject *op)
{
    LoopStateObj *self = LoopState_CAST(op);
    PyTypeObject *tp = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    assert(self->ls_heap_size == 0 && llist_empty(&self->ls_roots));
    /* (The type, and with it the module, may have been cleared already.) */
    loop_state_take_out(self);
    release_loop_table(self->ls_table);
    PyMem_Free(self->ls_heap);
    Py_CLEAR(self->ls_timer);
    Py_CLEAR(self->ls_loop_ref);
    tp->tp_free(self);
    Py_DECREF(tp);
}

static int
LoopState_traverse(PyObject *op, visitproc visit, void *arg)
{
    LoopStateObj *self = LoopState_CAST(op);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->ls_timer);
    if (!PyWeakref_Check(self->ls_loop_ref)) {
        Py_VISIT(self->ls_loop_ref);
    }
    return 0;
}

static int
LoopState_clear(PyObject *op)
{
    LoopStateObj *self = LoopState_CAST(op);
    loop_state_take_out(self);
    loop_state_lock(self);
    PyObject *timer = self->ls_timer;
    self->ls_timer = NULL;
    loop_state_unlock(self);
    Py_XDECREF(timer);
    return 0;
}

/* The scope of the root group that counts, or NULL.  The tree is locked. */
static CancelScopeObj *
loop_state_root(LoopStateObj *self)
{
    return llist_empty(&self->ls_roots) ? NULL
        : scope_of_node(llist_data(self->ls_roots.next, scope_node, siblings));
}


/* ----- The heap ----- */

static inline void
heap_put(LoopStateObj *self, Py_ssize_t index, CancelScopeObj *scope)
{
    self->ls_heap[index] = scope;
    scope->cs_heap_index = index;
}

/* Let the entry at `index` rise or sink to where it belongs. */
static void
heap_settle(LoopStateObj *self, Py_ssize_t index)
{
    CancelScopeObj **heap = self->ls_heap;
    CancelScopeObj *scope = heap[index];

    while (index > 0) {
        Py_ssize_t above = (index - 1) / 2;
        if (heap[above]->cs_deadline <= scope->cs_deadline) {
            break;
        }
        heap_put(self, index, heap[above]);
        index = above;
    }
    for (;;) {
        Py_ssize_t below = 2 * index + 1;
        if (below >= self->ls_heap_size) {
            break;
        }
        if (below + 1 < self->ls_heap_size
            && heap[below + 1]->cs_deadline < heap[below]->cs_deadline)
        {
            below++;
        }
        if (scope->cs_deadline <= heap[below]->cs_deadline) {
            break;
        }
        heap_put(self, index, heap[below]);
        index = below;
    }
    heap_put(self, index, scope);
}

static int
heap_add(LoopStateObj *self, CancelScopeObj *scope)
{
    if (self->ls_heap_size == self->ls_heap_allocated) {
        Py_ssize_t allocated = self->ls_heap_allocated * 2 + 8;
        CancelScopeObj **heap = PyMem_Realloc(
            self->ls_heap, allocated * sizeof(CancelScopeObj *));
        if (heap == NULL) {
            return -1;
        }
        self->ls_heap = heap;
        self->ls_heap_allocated = allocated;
    }
    heap_put(self, self->ls_heap_size++, scope);
    heap_settle(self, scope->cs_heap_index);
    return 0;
}

/* Disarm the deadline of a scope, if it is armed.  The tree is locked. */
static inline void
deadlines_remove(CancelScopeObj *scope)
{
    Py_ssize_t index = scope->cs_heap_index;
    if (index < 0) {
        return;
    }
    LoopStateObj *self = scope->cs_node.loop_state;
    CancelScopeObj *last = self->ls_heap[--self->ls_heap_size];
    if (last != scope) {
        heap_put(self, index, last);
        heap_settle(self, index);
    }
    scope->cs_heap_index = -1;
    Py_CLEAR(scope->cs_deadline_mark);      /* That runs no other code. */
}


/* ----- The timer ----- */

/* Return the timer that was armed, if it still exists, in place of `timer`,
   which is what ls_timer was. */
static PyObject *
resolve_timer(PyObject *timer)
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

/* Return true if the timer is due by then.  The tree is locked. */
static bool
timer_is_armed(LoopStateObj *self, double when)
{
    PyObject *timer = self->ls_timer;
    /* (A dead one: some code has thrown the loop's timers away.) */
    return timer != NULL && self->ls_timer_when <= when
        && !(PyWeakref_Check(timer) && PyWeakref_IsDead(timer));
}

/* Set the timer for the earliest deadline, if it is not due by then
   anyway.  The caller has a reference to the loop. */
static int
timer_arm(LoopStateObj *self)
{
    loop_state_lock(self);
    double when = self->ls_heap_size == 0 ? Py_INFINITY
                                          : self->ls_heap[0]->cs_deadline;
    bool is_armed = when == Py_INFINITY || timer_is_armed(self, when);
    loop_state_unlock(self);
    if (is_armed) {
        return 0;
    }
    PyObject *when_obj = PyFloat_FromDouble(when);
    if (when_obj == NULL) {
        return -1;
    }
    /* An empty one of its own: the timer works for all tasks. */
    PyObject *context = PyContext_New();
    if (context == NULL) {
        Py_DECREF(when_obj);
        return -1;
    }
    asyncio_state *state = get_asyncio_state_by_cls(Py_TYPE(self));
    /* The timer tells us what it was set for: there can be one more. */
    PyObject *args[] = {
        self->ls_loop, when_obj, (PyObject *)self, when_obj, context,
    };
    PyObject *timer = PyObject_VectorcallMethod(
        &_Py_ID(call_at), args, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET,
        state->context_kwname);
    Py_DECREF(when_obj);
    Py_DECREF(context);
    if (timer == NULL) {
        return -1;
    }
    /* The timer owns this object, so own it only if there is no other way (the
       loop does not keep it, or it takes no weak reference): a loop that is
       closed with its timers is to go away at once. */
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
    loop_state_lock(self);
    PyObject *other = timer;
    if (!timer_is_armed(self, when)) {
        other = self->ls_timer;
        self->ls_timer = timer;
        self->ls_timer_when = when;
    }
    loop_state_unlock(self);
    other = resolve_timer(other);
    if (other == NULL) {
        return 0;
    }
    PyObject *res = PyObject_CallMethodNoArgs(other, &_Py_ID(cancel));
    Py_DECREF(other);
    if (res == NULL) {
        /* If it comes all the same, it does no harm: see LoopState_call(). */
        return report_error(self->ls_loop, NULL, in_group);
    }
    Py_DECREF(res);
    return 0;
}

/* Arm the deadline of a scope, if there is still need for that. */
static int
deadlines_add(asyncio_state *state, CancelScopeObj *scope)
{
    scope_node *node = &scope->cs_node;
    LoopStateObj *self = node->loop_state;
    ShieldMarkObj *mark;
    if (shield_mark_get(state, &mark) < 0) {
        return -1;
    }
    if (mark != NULL) {
        Py_SETREF(mark, shield_mark_skip(mark));
    }
    tree_lock(node);
    if (scope->cs_state == SCOPE_ACTIVE && !node->requested
        && scope->cs_heap_index < 0 && scope->cs_deadline != Py_INFINITY)
    {
        if (heap_add(self, scope) < 0) {
            tree_unlock(node);
            Py_XDECREF(mark);
            PyErr_NoMemory();
            return -1;
        }
        scope->cs_deadline_mark = mark;
        mark = NULL;
    }
    tree_unlock(node);
    Py_XDECREF(mark);
    /* The loop may do anything, such as to have the scope left. */
    Py_INCREF(self);
    int res = timer_arm(self);
    if (res < 0) {
        tree_lock(node);
        /* (Once the timer is set only its predecessor can have failed.) */
        if (!timer_is_armed(self, scope->cs_deadline)) {
            deadlines_remove(scope);
        }
        tree_unlock(node);
    }
    Py_DECREF(self);
    return res;
}

/* Return true if a function is the method time() that BaseEventLoop has in the
   library, not one that a program has put in its place. */
static bool
is_standard_time(asyncio_state *state, PyObject *func)
{
    if (!PyFunction_Check(func)) {
        return false;
    }
    PyObject *known = FT_ATOMIC_LOAD_PTR_ACQUIRE(state->standard_time);
    if (known != NULL) {
        return func == known;
    }
    PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(func);
    PyObject *module = PyFunction_GET_MODULE(func);
    bool res = PyUnicode_EqualToUTF8(code->co_qualname, "BaseEventLoop.time")
        && module != NULL && PyUnicode_Check(module)
        && PyUnicode_EqualToUTF8(module, "asyncio.base_events");
    if (res) {
        Py_BEGIN_CRITICAL_SECTION(state->asyncio_mod);
        if (state->standard_time == NULL) {
            FT_ATOMIC_STORE_PTR_RELEASE(state->standard_time,
                                        Py_NewRef(func));
        }
        Py_END_CRITICAL_SECTION();
    }
    return res;
}

/* Return true if loop.time() is that of BaseEventLoop, and time.monotonic(),
   which that calls, has not been replaced either: then the clock can be read
   without a frame of Python. */
static bool
has_standard_clock(asyncio_state *state, PyObject *loop)
{
    PyObject *func = NULL, *module = NULL, *clock = NULL;
    if (Py_TYPE(loop)->tp_getattro != PyObject_GenericGetAttr) {
        return false;
    }
    if (!_PyObject_GetMethod(loop, &_Py_ID(time), &func)) {
        PyErr_Clear();          /* There is none; the call says so. */
        Py_XDECREF(func);
        return false;
    }
    bool res = is_standard_time(state, func)
        && PyDict_GetItemRef(PyFunction_GET_GLOBALS(func), &_Py_ID(time),
                             &module) > 0
        && PyModule_Check(module)
        && PyDict_GetItemRef(PyModule_GetDict(module), state->str_monotonic,
                             &clock) > 0
        && clock == state->standard_monotonic;
    Py_DECREF(func);
    Py_XDECREF(module);
    Py_XDECREF(clock);
    if (!res) {
        PyErr_Clear();          /* Of a dict with hostile keys. */
    }
    return res;
}

static int
init_standard_clock(asyncio_state *state)
{
    state->str_monotonic = PyUnicode_InternFromString("monotonic");
    PyObject *clock = PyImport_ImportModuleAttrString("time", "monotonic");
    if (state->str_monotonic == NULL || clock == NULL) {
        Py_XDECREF(clock);
        return -1;
    }
    /* (A program may have replaced it before it imports this module, also by
       another clock.) */
    bool is_standard = PyCFunction_Check(clock)
        && strcmp(((PyCFunctionObject *)clock)->m_ml->ml_name,
                  "monotonic") == 0;
    state->standard_monotonic = is_standard ? Py_NewRef(clock) : NULL;
    Py_DECREF(clock);
    return 0;
}

/* What loop.time() returns. */
static int
loop_time(asyncio_state *state, PyObject *loop, double *now)
{
    PyTime_t ticks;
    if (has_standard_clock(state, loop) && PyTime_MonotonicRaw(&ticks) == 0) {
        *now = PyTime_AsSecondsDouble(ticks);
        return 0;
    }
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
interrupt_marked(asyncio_state *state, PyObject *mark, PyObject *hosts)
{
    PyObject *token = PyContextVar_Set(state->shield_mark, mark);
    if (token == NULL) {
        return scope_finish_update(-1, hosts);
    }
    PyObject *error = NULL;
    if (scope_interrupt_all(hosts) < 0) {
        keep_error(&error);
    }
    if (PyContextVar_Reset(state->shield_mark, token) < 0) {
        keep_error(&error);
    }
    Py_DECREF(token);
    return raise_kept(error);
}

/* A deadline has passed.  Add the tasks to *hosts, or with the mark of the
   scope to *marked. */
static int
deadline_expire(CancelScopeObj *scope, PyObject **hosts, PyObject **marked)
{
    ShieldMarkObj *mark = scope->cs_deadline_mark;
    scope->cs_deadline_mark = NULL;
    deadlines_remove(scope);
    scope->cs_expired = 1;
    scope->cs_node.requested = 1;
    int res = 0;
    PyObject *own = NULL;
    if (scope->cs_node.member_canceller == NULL) {
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

/* Arm the timer again after it was due.  No scope must miss its deadline if
   that fails: then try again on each turn of the loop, but report it once. */
static int
timer_rearm(LoopStateObj *self, asyncio_state *state, PyObject *when)
{
    bool was_failing = self->ls_timer_failing;
    self->ls_timer_failing = timer_arm(self) < 0;
    if (!self->ls_timer_failing) {
        return 0;
    }
    PyObject *error = NULL;
    if (was_failing && !is_interrupt(PyErr_Occurred())) {
        PyErr_Clear();
    }
    else if (report_error(self->ls_loop, NULL,
                          "Exception while a timer was set") < 0)
    {
        keep_error(&error);
    }
    PyObject *context = PyContext_New();
    if (context == NULL
        || call_soon(state, self->ls_loop, (PyObject *)self, when,
                     context) < 0)
    {
        keep_error(&error);
    }
    Py_XDECREF(context);
    return raise_kept(error);
}

/* The timer is due: cancel the scopes whose deadline has passed. */
static PyObject *
LoopState_call(PyObject *op, PyObject *args, PyObject *Py_UNUSED(kwds))
{
    LoopStateObj *self = LoopState_CAST(op);
    double now, when;
    PyObject *hosts = NULL, *marked = NULL, *timer = NULL, *error = NULL;
    int res = 0;

    if (!PyArg_ParseTuple(args, "d", &when)) {
        return NULL;
    }
    PyObject *module = PyType_GetModule(Py_TYPE(self));
    if (module == NULL) {
        return NULL;        /* Everything is going away. */
    }
    asyncio_state *state = get_asyncio_state(module);
    PyObject *loop = Py_NewRef(self->ls_loop_ref);
    if (PyWeakref_Check(loop)) {
        PyObject *ref = loop;
        int alive = PyWeakref_GetRef(ref, &loop);
        Py_DECREF(ref);
        if (alive < 0) {
            return NULL;
        }
        if (!alive) {
            Py_RETURN_NONE;     /* It is not the loop that calls this. */
        }
    }
    loop_state_lock(self);
    if (self->ls_timer_when <= when) {
        timer = self->ls_timer;
        self->ls_timer = NULL;
    }
    loop_state_unlock(self);
    Py_XDECREF(timer);
    if (loop_time(state, self->ls_loop, &now) < 0) {
        /* It is late enough for what the timer was set for. */
        if (report_error(self->ls_loop, NULL, "Exception in time()") < 0) {
            keep_error(&error);
        }
        now = when;
    }
    /* Loops run a timer up to one tick of the clock too early. */
    now = Py_MAX(now, when);
    loop_state_lock(self);
    while (self->ls_heap_size > 0 && self->ls_heap[0]->cs_deadline <= now) {
        if (deadline_expire(self->ls_heap[0], &hosts, &marked) < 0) {
            res = -1;
        }
    }
    loop_state_unlock(self);
    if (res < 0) {
        keep_error(&error);
    }
    if (timer_rearm(self, state, PyTuple_GET_ITEM(args, 0)) < 0) {
        keep_error(&error);
    }
    if (scope_interrupt_all(hosts) < 0) {
        keep_error(&error);
    }
    for (Py_ssize_t i = 0; marked != NULL && i + 1 < PyList_GET_SIZE(marked);
         i += 2)
    {
        if (interrupt_marked(state, PyList_GET_ITEM(marked, i),
                             Py_NewRef(PyList_GET_ITEM(marked, i + 1))) < 0)
        {
            keep_error(&error);
        }
    }
    Py_XDECREF(marked);
    Py_DECREF(loop);
    if (raise_kept(error) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyType_Slot LoopState_slots[] = {
    {Py_tp_dealloc, LoopState_dealloc},
    {Py_tp_traverse, LoopState_traverse},
    {Py_tp_clear, LoopState_clear},
    {Py_tp_call, LoopState_call},
    {0, NULL},
};

static PyType_Spec LoopState_spec = {
    .name = "_asyncio._LoopState",
    .basicsize = sizeof(LoopStateObj),
    .flags = (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
              Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE),
    .slots = LoopState_slots,
};
