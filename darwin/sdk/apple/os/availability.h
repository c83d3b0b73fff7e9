// API_AVAILABLE(macos(15.0)) is the compiler's availability attribute where the
// compiler has it: a use without a guard is then a warning, and the symbol is
// weak when the deployment target is older.
#pragma once
#ifdef __APPLE__
#define API_AVAILABLE_macos(v) macos, introduced = v
#define API_AVAILABLE_(p) __attribute__((availability(p)))
#define API_AVAILABLE(p) API_AVAILABLE_(API_AVAILABLE_##p)
#else
#define API_AVAILABLE(p)
#endif
