/* The same without SSE2. */
#define BLOCK_PORTABLE
#include "unit_block.c" /* NOLINT(bugprone-suspicious-include) */
