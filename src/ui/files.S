/* The files that the programs answer with, as they are, each with a terminator behind it. */
        .section .rodata

        .macro file name, path
        .global \name
\name:  .incbin "\path"
        .byte 0
        .endm

        file openapi_json, "docs/openapi.json"

        .section .note.GNU-stack, "", %progbits
