/* The files that the programs answer with, as they are, each with a terminator behind it. */
        .section .rodata

        .macro file name, path
        .global \name
\name:  .incbin "\path"
        .byte 0
        .endm

        file ui_html, "src/ui/ui.html"
        file ui_js, "src/ui/ui.js"
        file ui_css, "src/ui/ui.css"
        file openapi_json, "src/ui/openapi.json"

        .section .note.GNU-stack, "", %progbits
