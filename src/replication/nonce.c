/* A file of its own: a program whose runs are to repeat brings its own names (test/simulator). */
#include "replication/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void wire_name_new(char out[WIRE_NAME_SIZE])
{
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        abort(); /* cannot fail for so few bytes on a kernel that has it */
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(out + 2 * i, 3, "%02x", random[i]);
}
