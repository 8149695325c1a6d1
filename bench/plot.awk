# Draws an SVG plot. Each line of the input is a point: label, colour (1 or 2), dash (1 to 3), x, y, parted by tabs;
# points of one label make one line, in the order in which they come.
#
#   awk -f plot.awk -v title=T -v x_label=X -v y_label=Y -v x_scale=log -v y_scale=linear \
#       -v x_unit=count -v y_unit=us
#
# Scales are linear, from 0, or log; units are count or us. With a logarithmic x axis each x gets a tick.

BEGIN {
    FS = "\t"
    width = 860
    height = 440
    left = 84
    right = 200 # for the legend
    top = 52
    bottom = 62
    split("#0b57d0 #d03b20", colours, " ")
    dashes[1] = "none"
    dashes[2] = "9 5"
    dashes[3] = "2 4"
}

{
    if (!($1 in count)) {
        labels[++label_count] = $1
        colour_of[$1] = colours[$2]
        dash_of[$1] = dashes[$3]
        mark_of[$1] = $2
    }
    count[$1]++
    xs[$1, count[$1]] = $4 + 0
    ys[$1, count[$1]] = $5 + 0
    if (!($4 + 0 in x_seen)) {
        x_seen[$4 + 0] = 1
        x_values[++x_count] = $4 + 0
    }
    if (NR == 1 || $4 + 0 < x_least)
        x_least = $4 + 0
    if (NR == 1 || $5 + 0 < y_least)
        y_least = $5 + 0
    if ($4 + 0 > x_most)
        x_most = $4 + 0
    if ($5 + 0 > y_most)
        y_most = $5 + 0
}

function value_text(value, unit) {
    if (unit == "us" && value >= 1000000)
        return value / 1000000 " s"
    if (unit == "us" && value >= 1000)
        return value / 1000 " ms"
    if (unit == "us")
        return value " µs"
    return value >= 10000 ? value / 1000 "k" : value ""
}

# The next larger of 1, 2, 5 times a power of ten.
function step_for(rough,    power) {
    power = 10 ^ int(log(rough) / log(10))
    if (rough <= power)
        return power
    return rough <= 2 * power ? 2 * power : rough <= 5 * power ? 5 * power : 10 * power
}

function x_at(value) {
    if (x_scale == "log")
        return left + (width - left - right) * (log(value) - log(x_low)) / (log(x_high) - log(x_low))
    return left + (width - left - right) * (value - x_low) / (x_high - x_low)
}

function y_at(value) {
    if (y_scale == "log")
        return height - bottom - (height - top - bottom) * (log(value) - log(y_low)) / (log(y_high) - log(y_low))
    return height - bottom - (height - top - bottom) * (value - y_low) / (y_high - y_low)
}

function text_at(x, y, anchor, text, more) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y, anchor, more, text
}

function line_at(x1, y1, x2, y2, colour) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour
}

function x_tick(value) {
    line_at(x_at(value), height - bottom, x_at(value), height - bottom + 5, "#555")
    text_at(x_at(value), height - bottom + 20, "middle", value_text(value, x_unit), "")
}

function y_tick(value) {
    line_at(left, y_at(value), width - right, y_at(value), value == y_low ? "#555" : "#ddd")
    text_at(left - 8, y_at(value) + 4, "end", value_text(value, y_unit), "")
}

function x_axis(    i, step) {
    if (x_scale == "log") {
        for (i = 1; i <= x_count; i++)
            x_tick(x_values[i])
        return
    }
    step = step_for(x_high / 7)
    for (i = 0; i * step <= x_high * 1.0001; i++)
        x_tick(i * step)
}

function y_axis(    i, step, power) {
    if (y_scale == "log") {
        for (power = y_low; power <= y_high * 1.0001; power *= 10)
            y_tick(power)
        return
    }
    step = step_for(y_high / 7)
    for (i = 0; i * step <= y_high * 1.0001; i++)
        y_tick(i * step)
}

function scales(    power) {
    x_low = x_scale == "log" ? x_least : 0
    x_high = x_scale == "log" ? x_most : x_most * 1.03
    y_low = 0
    y_high = y_most * 1.05
    if (y_scale == "log") {
        for (power = 1; power * 10 <= y_least; power *= 10)
            ;
        y_low = power
        for (; power < y_most; power *= 10)
            ;
        y_high = power
    }
}

function mark(label, x, y) {
    if (mark_of[label] == 1)
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x, y, colour_of[label]
    else
        printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\" fill=\"%s\"/>\n", x - 3.5, y - 3.5, colour_of[label]
}

function series(label,    i) {
    printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\" points=\"", \
        colour_of[label], dash_of[label]
    for (i = 1; i <= count[label]; i++)
        printf "%.1f,%.1f ", x_at(xs[label, i]), y_at(ys[label, i])
    print "\"/>"
    for (i = 1; i <= count[label]; i++)
        mark(label, x_at(xs[label, i]), y_at(ys[label, i]))
}

function legend(label, row,    x, y) {
    x = width - right + 18
    y = top + 10 + 24 * (row - 1)
    printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\"/>\n", \
        x, y, x + 34, y, colour_of[label], dash_of[label]
    mark(label, x + 17, y)
    text_at(x + 42, y + 4, "start", label, "")
}

END {
    scales()
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" " \
        "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\" role=\"img\">\n", width, height, width, height
    printf "<title>%s</title>\n", title
    printf "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height
    text_at(left, 28, "start", title, " font-size=\"15\" font-weight=\"bold\"")
    y_axis()
    x_axis()
    text_at((left + width - right) / 2, height - 16, "middle", x_label, "")
    text_at(0, 0, "middle", y_label, sprintf(" transform=\"translate(20 %.1f) rotate(-90)\"", (top + height - bottom) / 2))
    for (i = 1; i <= label_count; i++)
        series(labels[i])
    for (i = 1; i <= label_count; i++)
        legend(labels[i], i)
    print "</svg>"
}
