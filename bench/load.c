/* A load generator for the replicated log and for what it is measured against. See options.c for what it is
 * told, run.c for how it measures. One thread, since it shares the cores with the servers. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/* A few thousand connections need more descriptors than the usual soft limit. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static const char *operation_name(enum proto_kind kind)
{
    switch (kind) {
    case PROTO_POST:
        return "post";
    case PROTO_GET:
        return "get";
    default:
        return "rpush";
    }
}

static uint64_t errors_of(const struct run_result *result)
{
    return result->wrong + result->lost + result->unanswered + result->crowd_lost;
}

static double rate_of(const struct run_result *result)
{
    return result->seconds > 0 ? (double)result->in_time / result->seconds : 0;
}

static double percentile_us(const struct run_result *result, double share)
{
    return (double)histogram_percentile(&result->latencies, share) / 1000;
}

static void print_json(const struct options *options, const struct run_result *result)
{
    printf("{\"operation\":\"%s\",\"clients\":%d,\"pipeline\":%u,\"bytes\":%zu,\"idle\":%d,\"slow\":%d,"
           "\"offered\":%.1f,\"seconds\":%.3f,\"rate\":%.1f,\"count\":%llu,\"asked\":%llu,\"errors\":%llu,"
           "\"unsent\":%llu,",
           operation_name(options->kind), options->clients, options->depth, options->bytes, options->idle,
           options->slow, options->rate, result->seconds, rate_of(result),
           (unsigned long long)result->latencies.total, (unsigned long long)result->asked,
           (unsigned long long)errors_of(result), (unsigned long long)result->unsent);
    printf("\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p99_9_us\":%.1f,\"max_us\":%.1f}\n",
           percentile_us(result, 0.5), percentile_us(result, 0.9), percentile_us(result, 0.99),
           percentile_us(result, 0.999), percentile_us(result, 1));
}

static void print_errors(const struct run_result *result)
{
    if (errors_of(result) > 0)
        fprintf(stderr, "load: %llu wrong, %llu lost, %llu unanswered, %llu of the crowd lost\n",
                (unsigned long long)result->wrong, (unsigned long long)result->lost,
                (unsigned long long)result->unanswered, (unsigned long long)result->crowd_lost);
    if (result->first_wrong[0] != '\0')
        fprintf(stderr, "load: the first wrong answer: %s\n", result->first_wrong);
    if (result->unsent > 0)
        fprintf(stderr, "load: %llu were due and never sent: the rate is too high\n",
                (unsigned long long)result->unsent);
}

static void print_human(const struct options *options, const struct run_result *result)
{
    fprintf(stderr,
            "%s, %d clients: %.0f/s, %llu errors; us: p50 %.0f, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n",
            operation_name(options->kind), options->clients, rate_of(result),
            (unsigned long long)errors_of(result), percentile_us(result, 0.5), percentile_us(result, 0.9),
            percentile_us(result, 0.99), percentile_us(result, 0.999), percentile_us(result, 1));
    print_errors(result);
}

int main(int argc, char *argv[])
{
    static struct run_result result;
    struct options options;
    struct proto proto;
    struct dial_address to;
    struct crowd crowd;

    options_read(&options, argc, argv);
    if (!options_proto(&options, &proto) || dial_resolve(options.host, options.port, &to) < 0) {
        fprintf(stderr, "load: the host is not known, or its name or the target is too long\n");
        return 2;
    }
    raise_descriptor_limit();
    bool ran = crowd_open(&crowd, &options, &to) && run(&options, &proto, &to, &crowd, &result);
    crowd_close(&crowd);
    if (!ran)
        return 2;
    print_json(&options, &result);
    print_human(&options, &result);
    return errors_of(&result) > 0 ? 1 : 0;
}
