#pragma once

// rules_run does rule n and gives NULL when it holds, else what was seen instead, in
// memory that the next rule overwrites.
const char *rules_run(int n);
// rules_name is the name of rule n, or NULL after the last; rules_needs_gic says that it is
// about hv_gic.
const char *rules_name(int n);
int rules_needs_gic(int n);
