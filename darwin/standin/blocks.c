//go:build macshim && !darwin

// The runtime of blocks as clang calls it (Block-ABI-Apple), without C++ and Objective-C.
#include <Block.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"

void *_NSConcreteStackBlock[32], *_NSConcreteGlobalBlock[32], *_NSConcreteMallocBlock[32];

enum { REFS = 0xfffe, ONE_REF = 2, NEEDS_FREE = 1 << 24, HAS_COPY = 1 << 25, IS_GLOBAL = 1 << 28 };
enum { FIELD_IS_BLOCK = 7 };

void *_Block_copy(const void *p) {
  struct block *b = (struct block *)p;
  if (b == NULL || b->flags & IS_GLOBAL) {
    return b;
  }
  if (b->flags & NEEDS_FREE) {
    __atomic_add_fetch(&b->flags, ONE_REF, __ATOMIC_SEQ_CST);
    return b;
  }
  struct block *copy = malloc(b->descriptor->size);
  memcpy(copy, b, b->descriptor->size);
  copy->isa = _NSConcreteMallocBlock;
  copy->flags = (b->flags & ~REFS) | NEEDS_FREE | ONE_REF;
  if (copy->flags & HAS_COPY) {
    copy->descriptor->copy(copy, b);
  }
  return copy;
}

void _Block_release(const void *p) {
  struct block *b = (struct block *)p;
  if (b == NULL || !(b->flags & NEEDS_FREE) || __atomic_sub_fetch(&b->flags, ONE_REF, __ATOMIC_SEQ_CST) & REFS) {
    return;
  }
  if (b->flags & HAS_COPY) {
    b->descriptor->dispose(b);
  }
  free(b);
}

void _Block_object_assign(void *to, const void *from, int field) {
  *(const void **)to = field == FIELD_IS_BLOCK ? _Block_copy(from) : from;
}

void _Block_object_dispose(const void *object, int field) {
  if (field == FIELD_IS_BLOCK) {
    _Block_release(object);
  }
}
