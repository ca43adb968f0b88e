/* Counts what Python's allocators of objects and buffers are asked for; called through ctypes. */
#include <Python.h>

static const PyMemAllocatorDomain DOMAINS[] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static PyMemAllocatorEx plain[2];
static long counted;

static void *count_malloc(void *allocator, size_t size) {
    PyMemAllocatorEx *of = allocator;
    counted++;
    return of->malloc(of->ctx, size);
}

static void *count_calloc(void *allocator, size_t items, size_t size) {
    PyMemAllocatorEx *of = allocator;
    counted++;
    return of->calloc(of->ctx, items, size);
}

static void *count_realloc(void *allocator, void *block, size_t size) {
    PyMemAllocatorEx *of = allocator;
    counted++;
    return of->realloc(of->ctx, block, size);
}

static void pass_free(void *allocator, void *block) {
    PyMemAllocatorEx *of = allocator;
    of->free(of->ctx, block);
}

void begin_allocations(void) {
    counted = 0;
    for (int slot = 0; slot < 2; slot++) {
        PyMem_GetAllocator(DOMAINS[slot], &plain[slot]);
        PyMemAllocatorEx counting = {&plain[slot], count_malloc, count_calloc, count_realloc, pass_free};
        PyMem_SetAllocator(DOMAINS[slot], &counting);
    }
}

long end_allocations(void) {
    for (int slot = 0; slot < 2; slot++) {
        PyMem_SetAllocator(DOMAINS[slot], &plain[slot]);
    }
    return counted;
}
