# make            build/master and build/secondary
CC ?= gcc
CFLAGS ?= -O2 -g
BUILD ?= build
WARN = -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wformat=2
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread -Isrc $(WARN) $(CFLAGS)
SOURCES = $(filter-out src/master.c src/secondary.c,$(wildcard src/*.c src/*/*.c))
OBJECTS = $(SOURCES:src/%.c=$(BUILD)/obj/%.o)

all: $(BUILD)/master $(BUILD)/secondary
$(BUILD)/master $(BUILD)/secondary: $(BUILD)/%: $(BUILD)/obj/%.o $(OBJECTS)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^
$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
-include $(OBJECTS:.o=.d)
clean:
	rm -rf $(BUILD)
.PHONY: all clean
