// What this program was built from. version.c alone is compiled anew when that changes.
#pragma once

extern const char version_release[]; // of CHANGELOG.md: "0.1.0"
extern const char version_commit[];  // git describe: "v0.1.0-3-g80e1b09"; "unknown" outside a repository
extern const char version_full[];    // both, for --version: "0.1.0 (v0.1.0-3-g80e1b09)"
