//go:build macshim && !darwin

#include <stddef.h>

#include "standin.h"

// Builds for coverage have it; a Go program ends without the C library's exit, which would call it.
__attribute__((weak)) int __llvm_profile_write_file(void);

void standin_write_coverage(void) {
  if (__llvm_profile_write_file != NULL) {
    __llvm_profile_write_file();
  }
}
