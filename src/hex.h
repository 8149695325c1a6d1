/* Hexadecimal digits. */
#ifndef HEX_H
#define HEX_H

/* The value of a digit, or -1 where it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The digit of the value's lowest four bits. */
static inline char hex_char(unsigned value)
{
    return "0123456789abcdef"[value & 15];
}

#endif
