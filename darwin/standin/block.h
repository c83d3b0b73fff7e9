#pragma once

// A block as clang lays it out (Block-ABI-Apple).
struct block {
  void *isa;
  volatile int flags;
  int reserved;
  void (*invoke)(void *, ...);
  struct block_descriptor {
    unsigned long reserved, size;
    void (*copy)(void *, const void *); // these two only with BLOCK_HAS_COPY
    void (*dispose)(const void *);
  } *descriptor;
};
