// test/kubernetes/check.js FILE [DIR]: a manifest against the published schemas of Kubernetes, against what Kubernetes
// asks beyond them, and against the settings of the programs. With DIR it also writes what each pod is, for
// test/kubernetes/run: DIR/POD/program, DIR/POD/env and DIR/POD/probes; and DIR/services, each name with the pods that
// it leads to.
//
// Environment: TOOLS, a folder with node_modules; OUT, one with the programs.
'use strict';
const assert = require('node:assert');
const {spawnSync} = require('node:child_process');
const fs = require('node:fs');
const {createRequire} = require('node:module');
const path = require('node:path');

const tools = createRequire(path.join(process.env.TOOLS, 'package.json'));
const {parseAllDocuments} = tools('yaml');
const SCHEMAS = path.join(process.env.TOOLS, 'node_modules/kubernetes-models/_schemas');
const GROUPS = {v1: 'CoreV1', 'apps/v1': 'AppsV1', 'policy/v1': 'PolicyV1'};
const NAMESPACE = 'replicated-log';
// What the platform may tell, and who takes it for a part of other values and not for a setting.
const FIELDS = {'metadata.name': (pod) => pod, 'metadata.namespace': () => NAMESPACE};
const PARTS = ['NAMESPACE'];

// ---- the schemas -------------------------------------------------------------------------------------------------------

// A copy that takes out of `unread` what is read of it. The schemas say nothing of fields that they do not know, and
// Kubernetes refuses those; a field that the validator never reads is one.
function watch(value, at, unread) {
    if (value === null || typeof value !== 'object')
        return value;
    const copy = Array.isArray(value) ? [] : {};
    for (const [key, part] of Object.entries(value)) {
        unread.add(`${at}/${key}`);
        copy[key] = watch(part, `${at}/${key}`, unread);
    }
    return new Proxy(copy, {
        get(target, key) {
            unread.delete(`${at}/${String(key)}`);
            return target[key];
        },
    });
}

function checkSchema(object) {
    const name = `${object.kind} ${object.metadata?.name}`;
    const group = GROUPS[object.apiVersion];
    assert(group, `${name}: apiVersion ${object.apiVersion} is none of ${Object.keys(GROUPS)}`);
    const {validate} = require(path.join(SCHEMAS, `IoK8sApi${group}${object.kind}.js`));
    const unread = new Set();
    const errors = validate(watch(object, '', unread)) ? [] : validate.errors;
    assert(!errors.length, `${name}: ${errors.map((e) => `${e.instancePath}: ${e.keyword} ${JSON.stringify(e.params)}`).join('; ')}`);
    assert(!unread.size, `${name}: no such field: ${[...unread][0]}`);
}

// ---- what goes with what -------------------------------------------------------------------------------------------------

const leadsTo = (selector, labels) => Object.entries(selector).every(([key, value]) => labels[key] === value);

function only(list, what) {
    assert.strictEqual(list.length, 1, `${what}: there are ${list.length}`);
    return list[0];
}

function portOf(container, port, what) {
    const found = container.ports.find((one) => one.name === port || one.containerPort === port);
    assert(found, `${what}: the container has no port ${port}`);
    return found.containerPort;
}

function checkService(service, sets) {
    const name = `Service ${service.metadata.name}`;
    const set = only(sets.filter((one) => leadsTo(service.spec.selector, one.labels)), `${name}: sets that it selects`);
    for (const port of service.spec.ports) {
        const target = portOf(set.container, port.targetPort, name);
        assert.strictEqual(port.port, target, `${name}: its port is not the one that the programs have by default`);
    }
    service.set = set;
}

function checkSet(set, services) {
    const {name, spec, template, container} = set;
    assert(leadsTo(spec.selector.matchLabels, set.labels), `${name}: its selector does not select its own pods`);
    const service = services.find((one) => one.metadata.name === spec.serviceName);
    assert(service, `${name}: serviceName: there is no Service ${spec.serviceName}`);
    assert(service.spec.clusterIP === 'None' && service.spec.publishNotReadyAddresses && service.set === set,
        `${name}: serviceName: ${spec.serviceName} has to be headless, to publish what is not ready, and to select these pods`);
    const volumes = [...template.volumes, ...spec.volumeClaimTemplates.map((claim) => claim.metadata)].map((one) => one.name);
    for (const mount of container.volumeMounts)
        assert(volumes.includes(mount.name), `${name}: there is no volume ${mount.name}`);
    for (const probe of set.probes)
        portOf(container, probe.httpGet.port, `${name}: probe of ${probe.httpGet.path}`);
    const {runAsNonRoot, runAsUser, fsGroup, seccompProfile} = template.securityContext;
    assert(runAsNonRoot && runAsUser > 0 && fsGroup > 0 && seccompProfile.type === 'RuntimeDefault', `${name}: securityContext`);
    assert.deepStrictEqual(container.securityContext,
        {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: ['ALL']}}, `${name}: securityContext`);
}

// ---- the programs --------------------------------------------------------------------------------------------------------

const program = (name) => path.join(process.env.OUT, name);
const flag = (name) => '--' + name.toLowerCase().replaceAll('_', '-');

// The environment of a pod, as Kubernetes makes it: $(NAME) stands for what is defined before.
function environment(set, pod) {
    const env = {};
    for (const one of set.container.env) {
        const field = one.valueFrom?.fieldRef?.fieldPath;
        const value = field === undefined ? one.value : FIELDS[field]?.(pod);
        assert.strictEqual(typeof value, 'string', `${set.name}: ${one.name} has no value that this check knows`);
        env[one.name] = value.replace(/\$\((\w+)\)/g, (whole, name) => {
            assert(name in env, `${set.name}: ${one.name}: ${whole} is not defined before it`);
            return env[name];
        });
    }
    return env;
}

function checkEnvironment(set) {
    const help = spawnSync(program(set.role), ['--help'], {encoding: 'utf8'}).stdout;
    const settings = new Set(help.match(/^ {2}--[a-z-]+/gm).map((line) => line.trim()));
    for (const {name} of set.container.env)
        assert(settings.has(flag(name)) || PARTS.includes(name), `${set.name}: ${name} is no setting of ${set.role}`);
    // with good settings this goes on, and finds no such directory
    const env = {...environment(set, set.pods[0]), CLUSTER_TOKEN_FILE: undefined};
    const run = spawnSync(program(set.role), ['--check-data', '/nonexistent'], {env, encoding: 'utf8'});
    assert.strictEqual(run.status, 3, `${set.name}: ${run.stderr}`);
}

// The one URL among the settings of a set whose pods find others, or are found, by it.
function checkUrl(set, name, url, services, sets) {
    const {hostname, port} = new URL(url);
    const [pod, serviceName] = hostname.includes('.') ? hostname.split('.') : [null, hostname];
    const service = services.find((one) => one.metadata.name === serviceName);
    assert(service?.spec.publishNotReadyAddresses, `${set.name}: ${name}: ${serviceName} is no Service that publishes what is not ready`);
    assert(pod === null || (service.set.pods.includes(pod) && service.set.spec.serviceName === serviceName),
        `${set.name}: ${name}: ${hostname} is no pod`);
    assert.strictEqual(Number(port), service.spec.ports[0].port, `${set.name}: ${name}: the port`);
    assert.strictEqual(service.set, sets[name], `${set.name}: ${name} leads to ${service.set.name}`);
}

function checkPrograms(sets, services) {
    const byRole = Object.fromEntries(sets.map((set) => [set.role, set]));
    for (const set of sets) {
        const version = spawnSync(program(set.role), ['--version'], {encoding: 'utf8'}).stdout.trim().split(' ')[1];
        assert.strictEqual(set.container.image, `replicated-log-${set.role}:${version}`, `${set.name}: image`);
        checkEnvironment(set);
        const {env} = set.container;
        const mounts = Object.fromEntries(set.container.volumeMounts.map((mount) => [mount.name, mount.mountPath]));
        const value = (name) => env.find((one) => one.name === name)?.value;
        assert.strictEqual(value('DATA_DIR'), mounts[set.spec.volumeClaimTemplates[0].metadata.name], `${set.name}: DATA_DIR`);
        assert.strictEqual(value('CLUSTER_TOKEN_FILE'), mounts[set.template.volumes[0].name] + '/token', `${set.name}: CLUSTER_TOKEN_FILE`);
    }
    for (const pod of byRole.secondary.pods) {
        const env = environment(byRole.secondary, pod);
        assert.strictEqual(env.SECONDARY_ID, pod, `SECONDARY_ID of ${pod}`);
        assert.strictEqual(new URL(env.ADVERTISE_URL).hostname, `${pod}.${byRole.secondary.spec.serviceName}`, `ADVERTISE_URL of ${pod}`);
        checkUrl(byRole.secondary, 'ADVERTISE_URL', env.ADVERTISE_URL, services, {ADVERTISE_URL: byRole.secondary});
        checkUrl(byRole.secondary, 'MASTER_URL', env.MASTER_URL, services, {MASTER_URL: byRole.master});
    }
    assert.strictEqual(byRole.master.pods.length, 1, 'replicas of the master');
    const nodes = sets.reduce((sum, set) => sum + set.pods.length, 0);
    assert.strictEqual(Number(environment(byRole.master, 'master-0').NODES), nodes, 'NODES and the replicas');
}

// ---- all of it -----------------------------------------------------------------------------------------------------------

function setOf(object) {
    const template = object.spec.template.spec;
    const container = only(template.containers, 'containers');
    const pods = Array.from({length: object.spec.replicas}, (_, i) => `${object.metadata.name}-${i}`);
    return {
        name: `StatefulSet ${object.metadata.name}`, role: container.name, spec: object.spec, template, container, pods,
        labels: object.spec.template.metadata.labels,
        probes: [container.startupProbe, container.livenessProbe, container.readinessProbe],
    };
}

function write(dir, sets, services) {
    for (const set of sets)
        for (const pod of set.pods) {
            const at = path.join(dir, pod);
            fs.mkdirSync(at);
            fs.writeFileSync(path.join(at, 'program'), set.role + '\n');
            fs.writeFileSync(path.join(at, 'env'), Object.entries(environment(set, pod)).map(([k, v]) => `${k}=${v}\n`).join(''));
            fs.writeFileSync(path.join(at, 'probes'), set.probes.map((probe) =>
                `${portOf(set.container, probe.httpGet.port)}${probe.httpGet.path}\n`).join(''));
        }
    fs.writeFileSync(path.join(dir, 'services'), services.map((one) => `${one.metadata.name} ${one.set.pods.join(' ')}\n`).join(''));
}

function main(file, dir) {
    // YAML 1.1, as Kubernetes reads it: an `off` without quotes is no text
    const objects = parseAllDocuments(fs.readFileSync(file, 'utf8'), {version: '1.1'}).map((document) => {
        const problem = [...document.errors, ...document.warnings][0];
        assert(!problem, `${file}: ${problem?.message}`);
        return document.toJS();
    });
    objects.forEach(checkSchema);
    const of = (kind) => objects.filter((object) => object.kind === kind);
    const sets = of('StatefulSet').map(setOf);
    const services = of('Service');
    services.forEach((service) => checkService(service, sets));
    sets.forEach((set) => checkSet(set, services));
    const budget = only(of('PodDisruptionBudget'), 'PodDisruptionBudget').spec.selector.matchLabels;
    assert(sets.every((set) => leadsTo(budget, set.labels)), 'PodDisruptionBudget: it does not select all pods');
    assert.strictEqual(of('Secret').length, 0, 'a Secret that all readers know');
    checkPrograms(sets, services);
    if (dir)
        write(dir, sets, services);
    console.log(`kubernetes: ${file}: ${objects.length} objects, all well`);
}

try {
    main(...process.argv.slice(2));
} catch (error) {
    console.error(`kubernetes: ${error instanceof assert.AssertionError ? error.message : error.stack}`);
    process.exit(1);
}
