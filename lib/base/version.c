#include "lib/base/version.h"

#include "build/version.h" // written by make: SLUICE_RELEASE, SLUICE_COMMIT

const char version_release[] = SLUICE_RELEASE;
const char version_commit[] = SLUICE_COMMIT;
const char version_full[] = SLUICE_RELEASE " (" SLUICE_COMMIT ")";
