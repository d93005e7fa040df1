#!/usr/bin/env python3
"""What clients rely on in the API, one function a behaviour, against a control plane of its own (no nodes).

usage: api_behaviours.py KYBERN [REGEX]      exit 1: something differs; 77: cannot run here
Each function gets a namespace that goes afterwards; what lies outside of it is named after the namespace and removed by
the function's `finally`, or by `cleanup`.
"""
import base64, contextlib, http.client, http.server, json, os, re, shutil, signal, socket, ssl, subprocess, sys, tempfile, threading, time, traceback

TOKEN = 'behaviours-%d' % os.getpid()
BOUND_S = 20  # for whatever has to come about


class Answer(dict):
    code = 0
    headers = {}
    text = ''


class Api:
    def __init__(self, port):
        self.port, self.context = port, ssl._create_unverified_context()
        self.local = threading.local()

    def __call__(self, method, path, body=None, token=TOKEN, accept=None, form=None, headers=None):
        headers = dict(headers or {}, **({'Authorization': 'Bearer ' + token} if token else {}))
        if accept: headers['Accept'] = accept
        if body is not None: headers['Content-Type'] = form or 'application/json'
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        for attempt in (1, 2):
            try:
                c = getattr(self.local, 'c', None)
                if c is None: c = self.local.c = http.client.HTTPSConnection('127.0.0.1', self.port, context=self.context, timeout=60)
                c.request(method, path, data, headers)
                r = c.getresponse()
                text = r.read().decode('utf-8', 'replace')
                break
            except (http.client.HTTPException, OSError):
                self.local.c = None
                if attempt == 2: raise
        try: out = json.loads(text)
        except ValueError: out = None
        answer = Answer(out if isinstance(out, dict) else {})
        answer.code, answer.headers, answer.text = r.status, {k.lower(): v for k, v in r.getheaders()}, text
        answer.warnings = [v for k, v in r.getheaders() if k.lower() == 'warning']
        return answer

    def get(self, path, **kw): return self('GET', path, **kw)
    def post(self, path, body, **kw): return self('POST', path, body, **kw)
    def put(self, path, body, **kw): return self('PUT', path, body, **kw)
    def delete(self, path, body=None, **kw): return self('DELETE', path, body, **kw)
    def merge(self, path, body, **kw): return self('PATCH', path, body, form='application/merge-patch+json', **kw)
    def apply(self, path, body, query='fieldManager=test', **kw):
        return self('PATCH', path + '?' + query, body, form='application/apply-patch+yaml', **kw)

    def must(self, method, path, body=None, code=None, **kw):
        a = self(method, path, body, **kw)
        if code is None and not 200 <= a.code < 300 or code is not None and a.code != code:
            raise AssertionError('%s %s: %d, wanted %s: %s' % (method, path, a.code, code or '2xx', a.text[:600]))
        return a


class Watch:
    """Events of a watch as they come."""
    def __init__(self, api, path):
        self.c = http.client.HTTPSConnection('127.0.0.1', api.port, context=api.context, timeout=BOUND_S)
        self.c.request('GET', path, headers={'Authorization': 'Bearer ' + TOKEN})
        self.r = self.c.getresponse()
        assert self.r.status == 200, (self.r.status, self.r.read()[:300])

    def next(self):
        line = self.r.readline()
        assert line, 'the watch ended'
        e = json.loads(line)
        return e['type'], e['object']

    def expect(self, *wanted):
        got = []
        for _ in wanted:
            kind, o = self.next()
            got.append((kind, o['metadata']['name']))
        assert got == list(wanted), (got, wanted)

    def reaches(self, *wanted):
        """As expect; what else happens in between, as controllers write too, is passed over."""
        for one in wanted:
            got = []
            while not got or got[-1] != one:
                kind, o = self.next()
                got.append((kind, o['metadata']['name']))
                assert got[-1] == one or kind == 'MODIFIED', (got, one)

    def __enter__(self): return self
    def __exit__(self, *_): self.c.close()


def until(what, holds):
    end = time.monotonic() + BOUND_S
    while True:
        got = holds()
        if got: return got
        if time.monotonic() > end: raise AssertionError('did not come about: ' + what)
        time.sleep(0.02)


def same(got, wanted):
    if got != wanted: raise AssertionError('%r, wanted %r' % (got, wanted))


def has(whole, part, at=''):
    """Every member of `part` is in `whole`."""
    if isinstance(part, dict):
        for k, v in part.items():
            if not isinstance(whole, dict) or k not in whole: raise AssertionError('%s.%s is missing in %s' % (at, k, json.dumps(whole)[:400]))
            has(whole[k], v, at + '.' + k)
    else:
        if whole != part: raise AssertionError('%s: %r, wanted %r' % (at, whole, part))


def meta(name, **more): return dict({'name': name}, **more)
def config_map(name, **data): return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': meta(name), 'data': data or {'k': 'v'}}
def pod(name, **spec):
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': meta(name), 'spec': dict({'containers': [{'name': 'c', 'image': 'i:1'}]}, **spec)}
def template(app): return {'metadata': {'labels': {'app': app}}, 'spec': {'containers': [{'name': 'c', 'image': 'i:1'}]}}


@contextlib.contextmanager
def definition(api, group, plural, kind, versions=None, wait=True, **spec):
    """A CRD for as long as the block lasts. versions: name -> schema, or the list as it is in the spec."""
    if not isinstance(versions, list):
        versions = versions or {'v1': {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}}
        versions = [{'name': n, 'served': True, 'storage': i == 0, 'schema': {'openAPIV3Schema': s}} for i, (n, s) in enumerate(versions.items())]
    name = plural + '.' + group
    body = {'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition', 'metadata': meta(name),
            'spec': dict({'group': group, 'scope': 'Namespaced', 'names': {'plural': plural, 'singular': plural[:-1], 'kind': kind, 'listKind': kind + 'List'},
                          'versions': versions}, **spec)}
    path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    made = api.must('POST', path, body, code=201)
    try:
        if wait: until('Established', lambda: condition(api.get(path + '/' + name), 'Established') == 'True')
        yield path + '/' + name
    finally:
        api.delete(path + '/' + name)
        until('the definition is gone', lambda: api.get(path + '/' + name).code == 404)


class Skipped(Exception): pass


@contextlib.contextmanager
def hook(answer):
    """A webhook on loopback: answer(review) -> its response. Gives the clientConfig."""
    if not shutil.which('openssl'): raise Skipped('openssl is not installed')
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=hook',
                        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', d + '/k', '-out', d + '/c'], check=True, capture_output=True)
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def do_POST(self):
                review = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                out = json.dumps({'apiVersion': review['apiVersion'], 'kind': review['kind'], 'response': dict(answer(review['request']), uid=review['request']['uid'])}).encode()
                self.send_response(200)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(out)))
                self.end_headers()
                self.wfile.write(out)
            def log_message(self, *_): pass
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(d + '/c', d + '/k')
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05})
        thread.start()
        try: yield {'url': 'https://127.0.0.1:%d/' % server.server_address[1], 'caBundle': base64.b64encode(open(d + '/c', 'rb').read()).decode()}
        finally: server.shutdown(); thread.join(); server.server_close()


def condition(o, kind): return next((c['status'] for c in o.get('status', {}).get('conditions') or [] if c['type'] == kind), None)


CASES = []
def behaviour(f): CASES.append(f); return f


# ---- discovery, versions, documents

@behaviour
def version_says_what_it_is(api, ns):
    v = api.must('GET', '/version')
    assert v['major'] == '1' and re.fullmatch(r'v1\.\d+\.\d+', v['gitVersion']), v


@behaviour
def every_group_has_a_preferred_version_that_is_served(api, ns):
    groups = api.must('GET', '/apis')['groups']
    assert len(groups) > 15
    for g in groups:
        assert g['preferredVersion'] in g['versions'], g
        one = api.must('GET', '/apis/' + g['name'])
        same(one['preferredVersion'], g['preferredVersion'])
        for v in g['versions']:
            r = api.must('GET', '/apis/' + v['groupVersion'])
            same(r['groupVersion'], v['groupVersion'])
            if g['name'] != 'metrics.k8s.io': assert r['resources'], v


@behaviour
def aggregated_discovery_by_accept_header(api, ns):
    form = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
    for path in ('/api', '/apis'):
        a = api.must('GET', path, accept=form + ',application/json')
        same(a['kind'], 'APIGroupDiscoveryList')
        assert 'as=APIGroupDiscoveryList' in a.headers['content-type'], a.headers
        same(api.must('GET', path, accept='application/json')['kind'], 'APIVersions' if path == '/api' else 'APIGroupList')
    apps = next(g for g in api.must('GET', '/apis', accept=form)['items'] if g['metadata']['name'] == 'apps')
    resources = {r['resource']: r for r in apps['versions'][0]['resources']}
    same(resources['deployments']['responseKind'], {'group': 'apps', 'version': 'v1', 'kind': 'Deployment'})
    assert {'status', 'scale'} <= {s['subresource'] for s in resources['deployments']['subresources']}


@behaviour
def a_definition_shows_in_every_discovery(api, ns):
    group = ns + '.example.com'
    with definition(api, group, 'widgets', 'Widget') as path:
        assert any(g['name'] == group for g in api.must('GET', '/apis')['groups'])
        same([r['name'] for r in api.must('GET', '/apis/%s/v1' % group)['resources']], ['widgets'])
        form = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
        assert any(g['metadata']['name'] == group for g in api.must('GET', '/apis', accept=form)['items'])
        service = until('its APIService', lambda: (lambda a: a if a.code == 200 and a.get('status') else None)(
            api.get('/apis/apiregistration.k8s.io/v1/apiservices/v1.' + group)))
        same(service['metadata']['labels'], {'kube-aggregator.kubernetes.io/automanaged': 'true'})
        has(service['spec'], {'group': group, 'version': 'v1', 'groupPriorityMinimum': 1000, 'versionPriority': 100})
        same(condition(service, 'Available'), 'True')
        # Who takes it away gets it back.
        api.must('DELETE', '/apis/apiregistration.k8s.io/v1/apiservices/v1.' + group)
        until('the APIService is back', lambda: api.get('/apis/apiregistration.k8s.io/v1/apiservices/v1.' + group).get('metadata', {}).get('uid')
              not in (None, service['metadata']['uid']))
    until('the APIService goes with the last definition', lambda: api.get('/apis/apiregistration.k8s.io/v1/apiservices/v1.' + group).code == 404)
    assert not any(g['name'] == group for g in api.must('GET', '/apis')['groups'])


def schema_name(group, version, kind): return '.'.join(reversed(group.split('.'))) + '.%s.%s' % (version, kind)


@behaviour
def openapi_of_definitions_follows_them(api, ns):
    group = ns + '.example.com'
    schema = {'type': 'object', 'description': 'A thing of two.', 'properties': {'spec': {'type': 'object', 'properties': {'n': {'type': 'integer', 'minimum': 1}}}}}
    with definition(api, group, 'widgets', 'Widget', {'v1': schema, 'v2': schema}) as path:
        v2 = api.must('GET', '/openapi/v2')['definitions']
        for version in ('v1', 'v2'):
            name = schema_name(group, version, 'Widget')
            same(v2[name]['description'], 'A thing of two.')
            same(v2[name]['x-kubernetes-group-version-kind'], [{'group': group, 'version': version, 'kind': 'Widget'}])
            v3 = api.must('GET', '/openapi/v3/apis/%s/%s' % (group, version))
            has(v3['components']['schemas'][name]['properties']['spec']['properties']['n'], {'type': 'integer', 'minimum': 1})
            assert '/apis/%s/%s/namespaces/{namespace}/widgets/{name}' % (group, version) in v3['paths']
        before = api.must('GET', '/openapi/v3')['paths']
        with definition(api, 'other.' + group, 'things', 'Thing'):
            after = api.must('GET', '/openapi/v3')['paths']
            assert 'apis/other.%s/v1' % group in after
            for p, entry in before.items(): same(after[p], entry)  # what has not changed keeps its hash
        # A version that is no longer served goes; the other stays.
        current = api.must('GET', path)
        current['spec']['versions'][1]['served'] = False
        api.must('PUT', path, current)
        assert api.get('/openapi/v3/apis/%s/v2' % group).code == 404
        assert schema_name(group, 'v2', 'Widget') not in api.must('GET', '/openapi/v2')['definitions']
        assert schema_name(group, 'v1', 'Widget') in api.must('GET', '/openapi/v2')['definitions']
        # Renamed, it is there under its new name.
        current = api.must('GET', path)
        current['spec']['versions'][1].update(name='v3', served=True)
        api.must('PUT', path, current)
        assert schema_name(group, 'v3', 'Widget') in api.must('GET', '/openapi/v3/apis/%s/v3' % group)['components']['schemas']


@behaviour
def a_backend_without_rows_refuses_a_table(api, ns):
    body = {'apiVersion': 'authorization.k8s.io/v1', 'kind': 'SelfSubjectAccessReview', 'spec': {'resourceAttributes': {'verb': 'get', 'resource': 'pods'}}}
    a = api.post('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', body, accept='application/json;as=Table;v=v1;g=meta.k8s.io')
    same((a.code, a.get('reason')), (406, 'NotAcceptable'))


# ---- lists and watches

@behaviour
def lists_come_in_chunks_of_one_state(api, ns):
    base = '/api/v1/namespaces/%s/podtemplates' % ns
    for i in range(23): api.must('POST', base, {'apiVersion': 'v1', 'kind': 'PodTemplate', 'metadata': meta('t%02d' % i), 'template': template('x')})
    seen, token, versions = [], '', set()
    while True:
        page = api.must('GET', base + '?limit=7' + ('&continue=' + token if token else ''))
        seen += [i['metadata']['name'] for i in page['items']]
        versions.add(page['metadata']['resourceVersion'])
        token = page['metadata'].get('continue', '')
        same(page['metadata'].get('remainingItemCount', 0), 23 - len(seen))
        if len(seen) == 7: api.must('POST', base, {'apiVersion': 'v1', 'kind': 'PodTemplate', 'metadata': meta('t99'), 'template': template('x')})
        if not token: break
    same(seen, ['t%02d' % i for i in range(23)])
    same(len(versions), 1)
    a = api.get(base + '?limit=7&continue=nonsense')
    same((a.code, a['reason']), (400, 'BadRequest'))


@behaviour
def a_watch_sees_adds_changes_and_deletions_of_its_selection(api, ns):
    base = '/api/v1/namespaces/%s/configmaps' % ns
    a, b = (Watch(api, base + '?watch=1&labelSelector=' + s) for s in ('w%3DA', 'w+in+(A,B)'))
    with a, b:
        one = api.must('POST', base, dict(config_map('one'), metadata=meta('one', labels={'w': 'A'})))
        api.must('PATCH', base + '/one', {'data': {'k': '2'}}, form='application/merge-patch+json')
        a.expect(('ADDED', 'one'), ('MODIFIED', 'one'))
        b.expect(('ADDED', 'one'), ('MODIFIED', 'one'))
        api.merge(base + '/one', {'metadata': {'labels': {'w': 'B'}}})
        kind, gone = a.next()  # it is no longer of the selection: deleted, as it was before
        same((kind, gone['metadata']['labels']['w']), ('DELETED', 'A'))
        b.expect(('MODIFIED', 'one'))
        api.merge(base + '/one', {'metadata': {'labels': {'w': 'A'}}})
        a.expect(('ADDED', 'one'))
        api.must('DELETE', base + '/one')
        a.expect(('DELETED', 'one'))
        b.expect(('MODIFIED', 'one'), ('DELETED', 'one'))


@behaviour
def a_watch_goes_on_where_another_ended(api, ns):
    base = '/api/v1/namespaces/%s/configmaps' % ns
    first = api.must('POST', base, config_map('one'))['metadata']['resourceVersion']
    api.must('POST', base, config_map('two'))
    api.merge(base + '/two', {'data': {'k': '2'}})
    api.must('DELETE', base + '/two')
    two_alone = base + '?watch=1&fieldSelector=metadata.name%3Dtwo&resourceVersion='  # the namespace gets kube-root-ca.crt meanwhile
    with Watch(api, two_alone + first) as w:
        kind, two = w.next()
        same((kind, two['metadata']['name']), ('ADDED', 'two'))
        at = two['metadata']['resourceVersion']
    with Watch(api, two_alone + at) as w: w.expect(('MODIFIED', 'two'), ('DELETED', 'two'))


@behaviour
def concurrent_watches_agree_on_the_order(api, ns):
    base = '/api/v1/namespaces/%s/configmaps' % ns
    start = api.must('GET', base)['metadata']['resourceVersion']
    watches = [Watch(api, base + '?watch=1&resourceVersion=' + start) for _ in range(5)]
    def write(part):
        for i in range(10): api.must('POST', base, config_map('c-%d-%d' % (part, i)))
    threads = [threading.Thread(target=write, args=(p,)) for p in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    orders = [[w.next()[1]['metadata']['resourceVersion'] for _ in range(40)] for w in watches]
    for w in watches: w.c.close()
    assert all(o == orders[0] for o in orders) and len(set(orders[0])) == 40


# ---- custom resources

@behaviour
def defaults_of_custom_resources_for_requests_and_from_storage(api, ns):
    group = ns + '.example.com'
    schema = {'type': 'object', 'properties': {'a': {'type': 'string', 'default': 'A'}, 'b': {'type': 'string'}}}
    with definition(api, group, 'widgets', 'Widget', {'v1': schema}) as path:
        base = '/apis/%s/v1/namespaces/%s/widgets' % (group, ns)
        same(api.must('POST', base, {'apiVersion': group + '/v1', 'kind': 'Widget', 'metadata': meta('x')})['a'], 'A')
        current = api.must('GET', path)
        current['spec']['versions'][0]['schema']['openAPIV3Schema']['properties']['b']['default'] = 'B'
        api.must('PUT', path, current)
        until('the new default is read', lambda: api.get(base + '/x').get('b') == 'B')


@behaviour
def selectable_fields_select_in_lists_and_watches(api, ns):
    group = ns + '.example.com'
    version = {'name': 'v1', 'served': True, 'storage': True, 'selectableFields': [{'jsonPath': '.spec.color'}],
               'schema': {'openAPIV3Schema': {'type': 'object', 'properties': {'spec': {'type': 'object', 'properties': {'color': {'type': 'string'}}}}}}}
    with definition(api, group, 'shirts', 'Shirt', [version]):
        base = '/apis/%s/v1/namespaces/%s/shirts' % (group, ns)
        def shirt(name, color): return {'apiVersion': group + '/v1', 'kind': 'Shirt', 'metadata': meta(name), 'spec': {'color': color}}
        with Watch(api, base + '?watch=1&fieldSelector=spec.color%3Dblue') as w:
            for name, color in (('a', 'blue'), ('b', 'red'), ('c', 'blue')): api.must('POST', base, shirt(name, color))
            w.expect(('ADDED', 'a'), ('ADDED', 'c'))
            api.merge(base + '/a', {'spec': {'color': 'red'}})
            w.expect(('DELETED', 'a'))
        same([i['metadata']['name'] for i in api.must('GET', base + '?fieldSelector=spec.color%3Dblue')['items']], ['c'])
        same([i['metadata']['name'] for i in api.must('GET', base + '?fieldSelector=spec.color!%3Dblue')['items']], ['a', 'b'])
        a = api.get(base + '?fieldSelector=spec.size%3D1')
        same((a.code, a['message']), (400, 'field label not supported: spec.size'))


# v1 has spec.host and spec.port, v2 spec.address "host:port".
def converted(o, to):
    o, spec = dict(o, apiVersion=to), o.get('spec', {})
    if to.endswith('/v2') and 'host' in spec: o['spec'] = {'address': '%s:%s' % (spec['host'], spec['port'])}
    if to.endswith('/v1') and 'address' in spec: o['spec'] = dict(zip(('host', 'port'), spec['address'].split(':')))
    return o


@behaviour
def a_webhook_converts_lists_watches_selections_and_tables(api, ns):
    group = ns + '.example.com'
    def answer(request):
        return {'result': {'status': 'Success'}, 'convertedObjects': [converted(o, request['desiredAPIVersion']) for o in request['objects']]}
    def version(name, path):
        return {'name': name, 'served': True, 'storage': name == 'v1', 'selectableFields': [{'jsonPath': path}],
                'additionalPrinterColumns': [{'name': 'Where', 'type': 'string', 'jsonPath': path}],
                'schema': {'openAPIV3Schema': {'type': 'object', 'properties': {'spec': {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True,
                           'properties': {path.split('.')[-1]: {'type': 'string'}}}}}}}
    with hook(answer) as client:
        conversion = {'strategy': 'Webhook', 'webhook': {'clientConfig': client, 'conversionReviewVersions': ['v1']}}
        with definition(api, group, 'links', 'Link', [version('v1', '.spec.host'), version('v2', '.spec.address')], conversion=conversion) as path:
            base = '/apis/%s/%%s/namespaces/%s/links' % (group, ns)
            def link(name, v, **spec): return {'apiVersion': '%s/%s' % (group, v), 'kind': 'Link', 'metadata': meta(name, labels={'of': v}), 'spec': spec}
            with Watch(api, base % 'v2' + '?watch=1') as all_, Watch(api, base % 'v2' + '?watch=1&fieldSelector=spec.address%3Dx:1') as some, \
                    Watch(api, base % 'v1' + '?watch=1&labelSelector=of%3Dv2') as labelled:
                api.must('POST', base % 'v1', link('a', 'v1', host='x', port='1'))
                api.must('POST', base % 'v2', link('b', 'v2', address='y:2'))
                for name, spec in (('a', {'address': 'x:1'}), ('b', {'address': 'y:2'})):
                    kind, o = all_.next()
                    same((kind, o['metadata']['name'], o['apiVersion'], o['spec']), ('ADDED', name, group + '/v2', spec))
                some.expect(('ADDED', 'a'))
                kind, o = labelled.next()
                same((kind, o['apiVersion'], o['spec']), ('ADDED', group + '/v1', {'host': 'y', 'port': '2'}))
                api.merge(base % 'v1' + '/a', {'spec': {'host': 'z'}})
                some.expect(('DELETED', 'a'))
                kind, o = all_.next()
                same((kind, o['spec']), ('MODIFIED', {'address': 'z:1'}))
                api.must('DELETE', base % 'v1' + '/b')
                kind, o = all_.next()
                same((kind, o['apiVersion'], o['spec']), ('DELETED', group + '/v2', {'address': 'y:2'}))
            api.must('POST', base % 'v2', link('c', 'v2', address='w:3'))
            same([o['spec'] for o in api.must('GET', base % 'v2')['items']], [{'address': 'z:1'}, {'address': 'w:3'}])
            same([o['metadata']['name'] for o in api.must('GET', base % 'v2' + '?fieldSelector=spec.address%3Dw:3')['items']], ['c'])
            table = api.must('GET', base % 'v2', accept='application/json;as=Table;v=v1;g=meta.k8s.io')
            same([r['cells'] for r in table['rows']], [['a', 'z:1'], ['c', 'w:3']])
            # Stored in the other version from now on: old and new ones lie side by side, and read the same.
            current = api.must('GET', path)
            current['spec']['versions'][0]['storage'], current['spec']['versions'][1]['storage'] = False, True
            same(api.must('PUT', path, dict(current))['status']['storedVersions'], ['v1', 'v2'])
            api.must('POST', base % 'v1', link('d', 'v1', host='u', port='4'))
            for v, wanted in (('v1', [{'host': 'z', 'port': '1'}, {'host': 'w', 'port': '3'}, {'host': 'u', 'port': '4'}]),
                              ('v2', [{'address': 'z:1'}, {'address': 'w:3'}, {'address': 'u:4'}])):
                same([o['spec'] for o in api.must('GET', base % v)['items']], wanted)


@behaviour
def the_conversion_of_a_definition_is_judged(api, ns):
    group = ns + '.example.com'
    def ask(**conversion):
        body = {'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition', 'metadata': meta('links.' + group),
                'spec': {'group': group, 'scope': 'Namespaced', 'names': {'plural': 'links', 'kind': 'Link'}, 'conversion': conversion,
                         'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': {'type': 'object'}}}]}}
        a = api.post('/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All', body)
        return [c['field'][16:] + ': ' + c['message'] for c in a.get('details', {}).get('causes', [])] if a.code == 422 else a.code
    hook_ = {'clientConfig': {'url': 'https://a.example.com/x'}, 'conversionReviewVersions': ['v1']}
    config = 'webhookClientConfig'
    rows = [({'strategy': 'None'}, 201), ({'strategy': 'Webhook', 'webhook': hook_}, 201),
            ({'strategy': 'Sometimes'}, ['strategy: Unsupported value: "Sometimes": supported values: "None", "Webhook"']),
            ({'strategy': 'Webhook'}, [config + ': Required value: required when strategy is set to Webhook', 'conversionReviewVersions: Required value']),
            ({'strategy': 'None', 'webhook': hook_}, [config + ': Forbidden: should not be set when strategy is not set to Webhook',
                                                      'conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook']),
            ({'strategy': 'Webhook', 'webhook': dict(hook_, conversionReviewVersions=['v9'])},
             ['conversionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1']),
            ({'strategy': 'Webhook', 'webhook': dict(hook_, conversionReviewVersions=['v1', 'v1'])}, ['conversionReviewVersions[1]: Invalid value: "v1": duplicate version']),
            ({'strategy': 'Webhook', 'webhook': dict(hook_, clientConfig={})}, [config + ': Required value: exactly one of url or service is required']),
            ({'strategy': 'Webhook', 'webhook': dict(hook_, clientConfig={'url': 'http://a.example.com'})},
             [config + ".url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]"]),
            ({'strategy': 'Webhook', 'webhook': dict(hook_, clientConfig={'service': {'name': 'a', 'namespace': 'b', 'port': 70000}})},
             [config + '.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive']),
            ({'strategy': 'Webhook', 'webhook': dict(hook_, clientConfig={'url': 'https://a', 'caBundle': 'Cg=='})}, 201)]  # who fills it in comes later
    for conversion, wanted in rows: same(ask(**conversion), wanted)


@behaviour
def a_patch_of_a_webhook_that_does_not_apply_is_explained(api, ns):
    patches = {'add': [{'op': 'add', 'path': '/spec/more/x', 'value': 1}], 'replace': [{'op': 'replace', 'path': '/data/nope', 'value': 'x'}],
               'remove': [{'op': 'remove', 'path': '/data/nope'}], 'good': [{'op': 'add', 'path': '/data/more', 'value': 'x'}]}
    def answer(request):
        patch = patches[request['name']]
        return {'allowed': True, 'patchType': 'JSONPatch', 'patch': base64.b64encode(json.dumps(patch).encode()).decode(), 'auditAnnotations': {'seen': 'yes'}}
    base = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations'
    with hook(answer) as client:
        one = {'name': 'h.example.com', 'clientConfig': client, 'admissionReviewVersions': ['v1'], 'sideEffects': 'None',
               'namespaceSelector': {'matchLabels': {'kubernetes.io/metadata.name': ns}},
               'rules': [{'apiGroups': [''], 'apiVersions': ['v1'], 'operations': ['CREATE'], 'resources': ['configmaps']}]}
        api.must('POST', base, {'apiVersion': 'admissionregistration.k8s.io/v1', 'kind': 'MutatingWebhookConfiguration', 'metadata': meta(ns), 'webhooks': [one]})
        try:
            a = until('the webhook is asked', lambda: (lambda r: r if r.get('data', {}).get('more') else None)(
                api.post('/api/v1/namespaces/%s/configmaps?dryRun=All' % ns, config_map('good'))))
            said = {n: (lambda a: (a.code, a['message']))(api.post('/api/v1/namespaces/%s/configmaps' % ns, config_map(n))) for n in ('add', 'replace', 'remove')}
            same(said, {'add': (500, 'Internal error occurred: add operation does not apply: doc is missing path: "/spec/more/x": missing value'),
                        'replace': (500, 'Internal error occurred: replace operation does not apply: doc is missing key: /data/nope: missing value'),
                        'remove': (500, "Internal error occurred: error in remove for path: '/data/nope': Unable to remove nonexistent key: nope: missing value")})
        finally: api.delete(base + '/' + ns)


@behaviour
def definitions_have_a_status_of_their_own(api, ns):
    with definition(api, ns + '.example.com', 'widgets', 'Widget') as path:
        has(api.must('GET', path + '/status'), {'status': {'acceptedNames': {'kind': 'Widget'}, 'storedVersions': ['v1']}})
        changed = api.must('GET', path)
        changed['status']['conditions'].append({'type': 'Mine', 'status': 'True', 'reason': 'E2E', 'message': 'set here'})
        same(condition(api.must('PUT', path + '/status', changed), 'Mine'), 'True')
        patched = api.merge(path + '/status', {'metadata': {'annotations': {'a': 'b'}}})
        same((patched.code, patched['metadata']['annotations'].get('a')), (200, 'b'))
        with Watch(api, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions?watch=1&fieldSelector=metadata.name%3Dwidgets.' + ns + '.example.com') as w:
            w.expect(('ADDED', 'widgets.%s.example.com' % ns))


@behaviour
def who_applies_a_status_owns_nothing_else_of_a_custom_resource(api, ns):
    group = ns + '.example.com'
    version = {'name': 'v1', 'served': True, 'storage': True, 'subresources': {'status': {}},
               'schema': {'openAPIV3Schema': {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}}}
    with definition(api, group, 'widgets', 'Widget', [version]):
        path = '/apis/%s/v1/namespaces/%s/widgets' % (group, ns)
        widget = {'apiVersion': group + '/v1', 'kind': 'Widget', 'metadata': meta('a', labels={'l': 'v'}), 'spec': {'s': 1}, 'status': {'t': 2}}
        until('it is served', lambda: api.post(path, {k: v for k, v in widget.items() if k != 'status'}).code in (201, 409))
        applied = api.apply(path + '/a/status', dict(widget, metadata=meta('a', labels={'l': 'other'})))
        same((applied.code, applied['metadata'].get('labels'), applied['status']), (200, {'l': 'v'}, {'t': 2}))
        owned = [m['fieldsV1'] for m in applied['metadata']['managedFields'] if m.get('subresource') == 'status']
        same(owned, [{'f:status': {'.': {}, 'f:t': {}}}])


@behaviour
def field_validation_tells_of_unknown_and_double_fields(api, ns):
    base = '/api/v1/namespaces/%s/configmaps' % ns
    body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s","unknownMeta":"x"},"data":{"k":"v"},"foo":"bar","foo":"baz"}'
    a = api.post(base + '?fieldValidation=Strict', body % 'strict')
    same(a.code, 400)
    for text in ('duplicate field "foo"', 'unknown field "foo"', 'unknown field "metadata.unknownMeta"'): assert text in a['message'], a['message']
    a = api.post(base + '?fieldValidation=Warn', body % 'warn')
    same((a.code, len(a.warnings)), (201, 3))
    a = api.post(base + '?fieldValidation=Ignore', body % 'ignore')
    same((a.code, a.warnings), (201, []))
    group = ns + '.example.com'
    schema = {'type': 'object', 'properties': {'spec': {'type': 'object', 'properties': {'known': {'type': 'string'}}},
                                               'inner': {'type': 'object', 'x-kubernetes-embedded-resource': True, 'x-kubernetes-preserve-unknown-fields': True}}}
    with definition(api, group, 'widgets', 'Widget', {'v1': schema}):
        cr = '/apis/%s/v1/namespaces/%s/widgets' % (group, ns)
        text = '{"apiVersion":"%s/v1","kind":"Widget","metadata":{"name":"w","unknownMeta":"x"},"spec":{"known":"a","known":"b","other":1},' % group
        text += '"inner":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","unknownSubMeta":"y"}}}'
        a = api.post(cr + '?fieldValidation=Strict', text)
        same(a.code, 400)
        for part in ('duplicate field "spec.known"', 'unknown field "spec.other"', 'unknown field "metadata.unknownMeta"', 'unknown field "inner.metadata.unknownSubMeta"'):
            assert part in a['message'], a['message']
        a = api.apply(cr + '/applied', {'apiVersion': group + '/v1', 'kind': 'Widget', 'metadata': meta('applied'), 'spec': {'known': 'a'}},
                      'fieldManager=test&fieldValidation=Strict')
        same(a.code, 201)
        same(api.apply(cr + '/applied', {'apiVersion': group + '/v1', 'kind': 'Widget', 'metadata': meta('applied'), 'spec': {'known': 'a', 'z': 1}},
                       'fieldManager=test&fieldValidation=Strict').code, 500)


# ---- admission policies

def policy_kinds():
    return [('validatingadmissionpolicies', 'ValidatingAdmissionPolicy', 'validatingadmissionpolicybindings'),
            ('mutatingadmissionpolicies', 'MutatingAdmissionPolicy', 'mutatingadmissionpolicybindings')]


@contextlib.contextmanager
def policy(api, ns, name, plural, spec, actions=None):
    base, kind = '/apis/admissionregistration.k8s.io/v1/', next(k for p, k, _ in policy_kinds() if p == plural)
    bindings = next(b for p, _, b in policy_kinds() if p == plural)
    api.must('POST', base + plural, {'apiVersion': 'admissionregistration.k8s.io/v1', 'kind': kind, 'metadata': meta(name), 'spec': spec})
    binding = {'policyName': name, 'matchResources': {'namespaceSelector': {'matchLabels': {'kubernetes.io/metadata.name': ns}}}}
    if actions: binding['validationActions'] = actions
    try:
        api.must('POST', base + bindings, {'apiVersion': 'admissionregistration.k8s.io/v1', 'kind': kind + 'Binding', 'metadata': meta(name), 'spec': binding})
        yield
    finally:
        api.delete(base + bindings + '/' + name)
        api.delete(base + plural + '/' + name)


def rule(resource, group='apps', operations=('CREATE', 'UPDATE')):
    return {'resourceRules': [{'apiGroups': [group], 'apiVersions': ['v1'], 'operations': list(operations), 'resources': [resource]}]}


def deployment(name, replicas):
    return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': meta(name),
            'spec': {'replicas': replicas, 'selector': {'matchLabels': {'app': name}}, 'template': template(name)}}


@behaviour
def a_validating_policy_judges_with_variables(api, ns):
    spec = {'matchConstraints': rule('deployments'), 'variables': [{'name': 'many', 'expression': 'object.spec.replicas > 3'}],
            'validations': [{'expression': '!variables.many', 'messageExpression': "'too many: ' + string(object.spec.replicas)"}]}
    base = '/apis/apps/v1/namespaces/%s/deployments' % ns
    with policy(api, ns, ns + '-few', 'validatingadmissionpolicies', spec, ['Deny']):
        a = until('the policy denies', lambda: (lambda r: r if r.code == 422 else None)(api.post(base + '?dryRun=All', deployment('big', 4))))
        assert "ValidatingAdmissionPolicy '%s-few' with binding '%s-few' denied request: too many: 4" % (ns, ns) in a['message'], a['message']
        api.must('POST', base, deployment('small', 2), code=201)


@behaviour
def a_mutating_policy_changes_what_is_applied(api, ns):
    expression = 'Object{metadata: Object.metadata{annotations: {"seen": "yes"}}, spec: Object.spec{replicas: 2}}'
    spec = {'matchConstraints': rule('deployments'), 'reinvocationPolicy': 'Never', 'failurePolicy': 'Fail',
            'mutations': [{'patchType': 'ApplyConfiguration', 'applyConfiguration': {'expression': expression}}]}
    base = '/apis/apps/v1/namespaces/%s/deployments' % ns
    with policy(api, ns, ns + '-two', 'mutatingadmissionpolicies', spec):
        a = until('the policy changes', lambda: (lambda r: r if r['spec']['replicas'] == 2 else None)(api.must('POST', base + '?dryRun=All', deployment('d', 5))))
        same(a['metadata']['annotations']['seen'], 'yes')


@behaviour
def policies_see_the_bodies_of_subresources(api, ns):
    base = '/apis/apps/v1/namespaces/%s/deployments' % ns
    api.must('POST', base, deployment('d', 1))
    scale = {'apiVersion': 'autoscaling/v1', 'kind': 'Scale', 'metadata': meta('d', namespace=ns), 'spec': {'replicas': 9}}
    spec = {'matchConstraints': rule('deployments/scale'),
            'validations': [{'expression': "object.spec.replicas < 5 && request.kind.kind == 'Scale' && request.subResource == 'scale'", 'message': 'scaled too far'}]}
    with policy(api, ns, ns + '-scale', 'validatingadmissionpolicies', spec, ['Deny']):
        a = until('the policy denies', lambda: (lambda r: r if r.code == 422 else None)(api.put(base + '/d/scale?dryRun=All', scale)))
        assert a['message'].endswith('denied request: scaled too far'), a['message']
        scale['spec']['replicas'] = 4
        same(api.must('PUT', base + '/d/scale', scale)['spec']['replicas'], 4)
    spec = {'matchConstraints': rule('deployments/scale'), 'reinvocationPolicy': 'Never',
            'mutations': [{'patchType': 'ApplyConfiguration', 'applyConfiguration': {'expression': 'Object{spec: Object.spec{replicas: 3}}'}}]}
    with policy(api, ns, ns + '-three', 'mutatingadmissionpolicies', spec):
        scale['spec']['replicas'] = 8
        until('the policy changes', lambda: api.must('PUT', base + '/d/scale', scale)['spec'].get('replicas') == 3)
        same(api.must('GET', base + '/d')['spec']['replicas'], 3)
    api.must('POST', '/api/v1/namespaces/%s/pods' % ns, pod('p'))
    for sub, body in (('binding', {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': meta('p'), 'target': {'kind': 'Node', 'name': 'n'}}),
                      ('eviction', {'apiVersion': 'policy/v1', 'kind': 'Eviction', 'metadata': meta('p')})):
        kind = body['kind']
        spec = {'matchConstraints': rule('pods/' + sub, '', ['CREATE']), 'validations': [{'expression': "object.metadata.name != 'p' || request.kind.kind != '%s'" % kind, 'message': 'no ' + kind}]}
        with policy(api, ns, '%s-%s' % (ns, sub), 'validatingadmissionpolicies', spec, ['Deny']):
            a = until('the policy denies ' + sub, lambda: (lambda r: r if r.code == 422 else None)(api.post('/api/v1/namespaces/%s/pods/p/%s?dryRun=All' % (ns, sub), body)))
            assert a['message'].endswith('denied request: no ' + kind), a['message']


@behaviour
def policies_and_bindings_have_all_operations(api, ns):
    specs = {'validatingadmissionpolicies': {'matchConstraints': rule('deployments'), 'validations': [{'expression': 'true'}]},
             'mutatingadmissionpolicies': {'matchConstraints': rule('deployments'), 'reinvocationPolicy': 'Never', 'mutations': [
                 {'patchType': 'ApplyConfiguration', 'applyConfiguration': {'expression': 'Object{}'}}]}}
    base = '/apis/admissionregistration.k8s.io/v1/'
    for plural, kind, bindings in policy_kinds():
        binding = {'policyName': 'nobody'}
        if plural.startswith('validating'): binding['validationActions'] = ['Deny']
        for path, k, spec in ((plural, kind, specs[plural]), (bindings, kind + 'Binding', binding)):
            all_operations(api, base + path, {'apiVersion': 'admissionregistration.k8s.io/v1', 'kind': k, 'metadata': meta(ns + '-x'), 'spec': spec},
                           status=path == 'validatingadmissionpolicies')


def all_operations(api, base, body, status=False):
    """create, get, list, watch, patch, update, (status,) delete, deletecollection."""
    name = body['metadata']['name']
    body = json.loads(json.dumps(body))
    body['metadata']['labels'] = {'case': name}
    made = api.must('POST', base, body, code=201)
    try:
        same(api.must('GET', base + '/' + name)['metadata']['uid'], made['metadata']['uid'])
        listed = api.must('GET', base + '?labelSelector=case%3D' + name)
        same([i['metadata']['name'] for i in listed['items']], [name])
        with Watch(api, base + '?watch=1&labelSelector=case%3D' + name + '&resourceVersion=' + listed['metadata']['resourceVersion']) as w:
            api.must('PATCH', base + '/' + name, {'metadata': {'annotations': {'patched': 'true'}}}, form='application/merge-patch+json')

            def update():  # a controller may write the status in between
                now = api.must('GET', base + '/' + name)
                now['metadata']['annotations']['updated'] = 'true'
                for field in ('apiVersion', 'kind'): now[field] = body[field]
                a = api.put(base + '/' + name, dict(now))
                return None if a.code == 409 else a

            a = until('an update without a conflict', update)
            same((a.code, a.get('metadata', {}).get('annotations')), (200, {'patched': 'true', 'updated': 'true'}))
            w.reaches(('MODIFIED', name), ('MODIFIED', name))
            if status:
                api.must('GET', base + '/' + name + '/status')
                api.must('PATCH', base + '/' + name + '/status', {'metadata': {'annotations': {'status': 'true'}}}, form='application/merge-patch+json')
                w.reaches(('MODIFIED', name))
            api.must('DELETE', base + '/' + name)
            w.reaches(('DELETED', name))
        same(api.get(base + '/' + name).code, 404)
        api.must('POST', base, body, code=201)
        api.must('DELETE', base + '?labelSelector=case%3D' + name)
        until('the collection is empty', lambda: not api.must('GET', base + '?labelSelector=case%3D' + name)['items'])
    finally:
        api.delete(base + '/' + name)


@behaviour
def priority_and_fairness_has_all_operations(api, ns):
    base, version = '/apis/flowcontrol.apiserver.k8s.io/v1/', 'flowcontrol.apiserver.k8s.io/v1'
    schema = {'matchingPrecedence': 10000, 'priorityLevelConfiguration': {'name': 'global-default'}, 'distinguisherMethod': {'type': 'ByUser'},
              'rules': [{'subjects': [{'kind': 'User', 'user': {'name': 'nobody-' + ns}}], 'nonResourceRules': [{'verbs': ['get'], 'nonResourceURLs': ['/x']}]}]}
    all_operations(api, base + 'flowschemas', {'apiVersion': version, 'kind': 'FlowSchema', 'metadata': meta(ns + '-x'), 'spec': schema}, status=True)
    level = {'type': 'Limited', 'limited': {'nominalConcurrencyShares': 2, 'limitResponse': {'type': 'Reject'}}}
    all_operations(api, base + 'prioritylevelconfigurations',
                   {'apiVersion': version, 'kind': 'PriorityLevelConfiguration', 'metadata': meta(ns + '-x'), 'spec': level}, status=True)


# ---- quotas and owners

def used(api, ns, name='q'): return api.must('GET', '/api/v1/namespaces/%s/resourcequotas/%s' % (ns, name)).get('status', {}).get('used', {})


@behaviour
def quotas_follow_the_life_of_objects(api, ns):
    hard = {'count/configmaps': '10', 'secrets': '5', 'services': '5', 'count/replicasets.apps': '3', 'replicationcontrollers': '3', 'pods': '3',
            'count/cronjobs.batch': '2', 'count/jobs.batch': '2'}
    api.must('POST', '/api/v1/namespaces/%s/resourcequotas' % ns, {'apiVersion': 'v1', 'kind': 'ResourceQuota', 'metadata': meta('q'), 'spec': {'hard': hard}})
    until('the quota is counted', lambda: set(used(api, ns)) == set(hard))
    core = '/api/v1/namespaces/%s/' % ns
    kinds = [('count/configmaps', core + 'configmaps', config_map('x')),
             ('secrets', core + 'secrets', {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': meta('x')}),
             ('services', core + 'services', {'apiVersion': 'v1', 'kind': 'Service', 'metadata': meta('x'), 'spec': {'ports': [{'port': 80}]}}),
             ('replicationcontrollers', core + 'replicationcontrollers', {'apiVersion': 'v1', 'kind': 'ReplicationController', 'metadata': meta('x'),
                                                                         'spec': {'replicas': 0, 'selector': {'app': 'x'}, 'template': template('x')}}),
             ('count/replicasets.apps', '/apis/apps/v1/namespaces/%s/replicasets' % ns, dict(deployment('x', 0), kind='ReplicaSet')),
             ('count/cronjobs.batch', '/apis/batch/v1/namespaces/%s/cronjobs' % ns, {'apiVersion': 'batch/v1', 'kind': 'CronJob', 'metadata': meta('x'),
              'spec': {'schedule': '* * * * *', 'suspend': True, 'jobTemplate': {'spec': {'template': {'spec': dict(template('x')['spec'], restartPolicy='Never')}}}}}),
             ('pods', core + 'pods', pod('x'))]
    until('the configmap of every namespace is counted', lambda: used(api, ns)['count/configmaps'] == '1')
    for key, path, body in kinds:
        before = int(used(api, ns)[key])
        api.must('POST', path, body, code=201)
        same(int(used(api, ns)[key]), before + 1)  # at once: admission charges
        api.must('DELETE', path + '/x?gracePeriodSeconds=0')
        begun = time.monotonic()
        until('%s goes down again' % key, lambda: int(used(api, ns)[key]) == before)
        assert time.monotonic() - begun < 8, key  # by the deletion, not by counting all anew now and then
    api.must('POST', core + 'configmaps', config_map('fill'))
    api.must('PATCH', core + 'resourcequotas/q', {'spec': {'hard': {'count/configmaps': '2'}}}, form='application/merge-patch+json')
    a = until('the quota refuses', lambda: (lambda r: r if r.code == 403 else None)(api.post(core + 'configmaps?dryRun=All', config_map('more'))))
    assert 'exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=2, limited: count/configmaps=2' in a['message'], a['message']


@behaviour
def the_status_of_a_quota_can_be_written(api, ns):
    base = '/api/v1/namespaces/%s/resourcequotas' % ns
    api.must('POST', base, {'apiVersion': 'v1', 'kind': 'ResourceQuota', 'metadata': meta('q'), 'spec': {'hard': {'cpu': '500m', 'memory': '1Gi'}}})
    until('promptly calculated', lambda: used(api, ns) == {'cpu': '0', 'memory': '0'})
    a = api.merge(base + '/q/status', {'status': {'hard': {'cpu': '400m'}}})
    same((a.code, a['status']['hard']['cpu']), (200, '400m'))
    until('it is made right again', lambda: api.must('GET', base + '/q')['status']['hard'] == {'cpu': '500m', 'memory': '1Gi'})
    api.must('DELETE', base + '?labelSelector=none')
    api.must('DELETE', base)
    until('all quotas are gone', lambda: not api.must('GET', base)['items'])


@behaviour
def dependents_go_or_stay_as_the_deletion_says(api, ns):
    base, sets = '/apis/apps/v1/namespaces/%s/deployments' % ns, '/apis/apps/v1/namespaces/%s/replicasets' % ns
    def owned(name): return [i for i in api.must('GET', sets)['items'] if any(o['name'] == name for o in i['metadata'].get('ownerReferences', []))]
    for name, policy_ in (('goes', 'Background'), ('waits', 'Foreground')):
        api.must('POST', base, deployment(name, 0))
        until('its replica set', lambda: owned(name))
        api.must('DELETE', base + '/' + name, {'propagationPolicy': policy_})
        until('both are gone', lambda: not owned(name) and api.get(base + '/' + name).code == 404)
    api.must('POST', base, deployment('stays', 0))
    orphan = until('its replica set', lambda: owned('stays'))[0]['metadata']['name']
    api.must('DELETE', base + '/stays', {'propagationPolicy': 'Orphan'})
    until('the deployment is gone', lambda: api.get(base + '/stays').code == 404)
    until('nobody owns it', lambda: not api.must('GET', sets + '/' + orphan)['metadata'].get('ownerReferences'))


@behaviour
def a_circle_of_owners_holds_nobody(api, ns):
    base = '/api/v1/namespaces/%s/configmaps' % ns
    uid = {n: api.must('POST', base, config_map(n))['metadata']['uid'] for n in 'abc'}
    for n, owner in (('a', 'c'), ('b', 'a'), ('c', 'b')):
        reference = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': owner, 'uid': uid[owner], 'controller': True, 'blockOwnerDeletion': True}
        api.must('PATCH', base + '/' + n, {'metadata': {'ownerReferences': [reference]}}, form='application/merge-patch+json')
    api.must('DELETE', base + '/a', {'propagationPolicy': 'Foreground'})
    until('all three are gone', lambda: all(api.get(base + '/' + n).code == 404 for n in 'abc'))


# ---- namespaces

@behaviour
def a_namespace_goes_with_its_content_pods_first(api, ns):
    name = ns + '-x'
    api.must('POST', '/api/v1/namespaces', {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': meta(name)})
    base = '/api/v1/namespaces/%s/' % name
    until('its account', lambda: api.get(base + 'serviceaccounts/default').code == 200)
    held = pod('p')
    held['metadata']['finalizers'] = ['example.com/hold']
    api.must('POST', base + 'pods', held)
    api.must('POST', base + 'configmaps', config_map('c'))
    api.must('POST', base + 'services', {'apiVersion': 'v1', 'kind': 'Service', 'metadata': meta('s'), 'spec': {'ports': [{'port': 80}]}})
    api.must('DELETE', '/api/v1/namespaces/' + name)
    until('it says what remains', lambda: condition(api.must('GET', '/api/v1/namespaces/' + name), 'NamespaceFinalizersRemaining') == 'True')
    same(api.get(base + 'configmaps/c').code, 200)  # what pods may need stays as long as they do
    a = api.post(base + 'configmaps', config_map('new'))
    same((a.code, a['reason'], a['details']['causes'][0]['reason']), (403, 'Forbidden', 'NamespaceTerminating'))
    api.must('PATCH', base + 'pods/p', {'metadata': {'finalizers': None}}, form='application/merge-patch+json')
    until('the namespace is gone', lambda: api.get('/api/v1/namespaces/' + name).code == 404)
    api.must('POST', '/api/v1/namespaces', {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': meta(name)})
    try:
        same(api.must('GET', base + 'services')['items'], [])
        same(api.must('GET', base + 'pods')['items'], [])
    finally: api.delete('/api/v1/namespaces/' + name)


@behaviour
def namespaces_are_patched_updated_finalized(api, ns):
    path = '/api/v1/namespaces/' + ns
    same(api.merge(path, {'metadata': {'labels': {'a': 'b'}}})['metadata']['labels']['a'], 'b')
    one = api.must('GET', path)
    one['metadata']['labels']['c'] = 'd'
    same(api.must('PUT', path, dict(one))['metadata']['labels']['c'], 'd')
    status = {'status': {'conditions': [{'type': 'Mine', 'status': 'True', 'reason': 'E2E', 'message': 'x'}]}}
    same(condition(api.merge(path + '/status', status), 'Mine'), 'True')
    one = api.must('GET', path)
    one['spec']['finalizers'].append('e2e.example.com/mine')
    assert 'e2e.example.com/mine' in api.must('PUT', path + '/finalize', dict(one))['spec']['finalizers']
    one = api.must('GET', path)
    one['spec']['finalizers'] = ['kubernetes']
    same(api.must('PUT', path + '/finalize', dict(one))['spec']['finalizers'], ['kubernetes'])


# ---- who and what may

@behaviour
def service_accounts_live_and_their_tokens_are_known(api, ns):
    base = '/api/v1/namespaces/%s/serviceaccounts' % ns
    root = until('the root certificate of every namespace', lambda: (lambda a: a if a.code == 200 else None)(api.get('/api/v1/namespaces/%s/configmaps/kube-root-ca.crt' % ns)))
    assert root['data']['ca.crt'].startswith('-----BEGIN CERTIFICATE-----')
    for change in ('delete', 'edit'):
        if change == 'delete': api.must('DELETE', '/api/v1/namespaces/%s/configmaps/kube-root-ca.crt' % ns)
        else: api.merge('/api/v1/namespaces/%s/configmaps/kube-root-ca.crt' % ns, {'data': {'ca.crt': ''}})
        until('it is back after ' + change, lambda: api.get('/api/v1/namespaces/%s/configmaps/kube-root-ca.crt' % ns).get('data') == root['data'])
    api.must('POST', base, {'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': meta('sa', labels={'l': ns}), 'automountServiceAccountToken': False})
    same([i['metadata']['name'] for i in api.must('GET', '/api/v1/serviceaccounts?labelSelector=l%3D' + ns)['items']], ['sa'])
    token = api.must('POST', base + '/sa/token', {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': {}}, code=201)['status']['token']
    review = {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenReview', 'spec': {'token': token}}
    has(api.must('POST', '/apis/authentication.k8s.io/v1/tokenreviews', review)['status'],
        {'authenticated': True, 'user': {'username': 'system:serviceaccount:%s:sa' % ns, 'groups': ['system:serviceaccounts', 'system:serviceaccounts:' + ns, 'system:authenticated']}})
    issuer = json.loads(base64.urlsafe_b64decode(token.split('.')[1] + '==='))['iss']
    about = api.must('GET', '/.well-known/openid-configuration', token=token)
    same((about['issuer'], about['response_types_supported'], about['subject_types_supported']), (issuer, ['id_token'], ['public']))
    assert api.must('GET', '/openid/v1/jwks', token=token)['keys']
    api.must('DELETE', base + '?labelSelector=l%3D' + ns)
    until('a token dies with its account', lambda: api.get('/api', token=token).code == 401)


@behaviour
def pods_may_do_without_a_token(api, ns):
    until('the account', lambda: api.get('/api/v1/namespaces/%s/serviceaccounts/default' % ns).code == 200)
    for account, own, mounted in ((None, None, True), (False, None, False), (False, True, True), (True, False, False), (None, False, False)):
        name = 'sa-%s-%s' % (account, own)
        name = name.lower()
        sa = {'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': meta(name)}
        if account is not None: sa['automountServiceAccountToken'] = account
        api.must('POST', '/api/v1/namespaces/%s/serviceaccounts' % ns, sa)
        body = pod(name, serviceAccountName=name)
        if own is not None: body['spec']['automountServiceAccountToken'] = own
        spec = until('the pod', lambda: (lambda a: a if a.code == 201 else None)(api.post('/api/v1/namespaces/%s/pods' % ns, body)))['spec']
        same(any(m['mountPath'] == '/var/run/secrets/kubernetes.io/serviceaccount' for m in spec['containers'][0].get('volumeMounts', [])), mounted)


@behaviour
def reviews_tell_who_may_what(api, ns):
    user = 'user-' + ns
    api.must('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles' % ns, {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'Role', 'metadata': meta('r'),
             'rules': [{'apiGroups': [''], 'resources': ['pods'], 'verbs': ['list']}]})
    api.must('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings' % ns, {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'RoleBinding', 'metadata': meta('r'),
             'subjects': [{'kind': 'User', 'name': user, 'apiGroup': 'rbac.authorization.k8s.io'}], 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Role', 'name': 'r'}})
    def ask(path, kind, **attributes):
        return api.must('POST', path, {'apiVersion': 'authorization.k8s.io/v1', 'kind': kind, 'metadata': {'namespace': ns} if 'namespaces' in path else {},
                                       'spec': {'user': user, 'resourceAttributes': dict({'resource': 'pods', 'namespace': ns}, **attributes)}})['status']['allowed']
    for path, kind in (('/apis/authorization.k8s.io/v1/subjectaccessreviews', 'SubjectAccessReview'),
                       ('/apis/authorization.k8s.io/v1/namespaces/%s/localsubjectaccessreviews' % ns, 'LocalSubjectAccessReview')):
        until('the role counts', lambda: ask(path, kind, verb='list'))
        same(ask(path, kind, verb='delete'), False)
    me = api.must('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'SelfSubjectReview'})
    same(me['status']['userInfo']['username'], 'admin')


@behaviour
def certificate_requests_have_all_operations(api, ns):
    if not shutil.which('openssl'): return
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', d + '/k', '-subj', '/CN=e2e', '-out', d + '/r'], check=True, capture_output=True)
        request = base64.b64encode(open(d + '/r', 'rb').read()).decode()
    base = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
    body = {'apiVersion': 'certificates.k8s.io/v1', 'kind': 'CertificateSigningRequest', 'metadata': meta(ns + '-x'),
            'spec': {'request': request, 'signerName': 'example.com/nobody', 'usages': ['digital signature'], 'expirationSeconds': 3600}}
    all_operations(api, base, body, status=True)
    api.must('POST', base, body)
    try:
        one = api.must('GET', base + '/' + ns + '-x/approval')
        one['status'] = {'conditions': [{'type': 'Approved', 'status': 'True', 'reason': 'E2E', 'message': 'x'}]}
        same(condition(api.must('PUT', base + '/' + ns + '-x/approval', dict(one)), 'Approved'), 'True')
        a = api.merge(base + '/' + ns + '-x', {'spec': {'signerName': 'example.com/other'}})
        same(a['spec']['signerName'], 'example.com/nobody')  # what was asked for stays
    finally: api.delete(base + '/' + ns + '-x')


# ---- writes

@behaviour
def a_dry_run_changes_nothing(api, ns):
    until('the account', lambda: api.get('/api/v1/namespaces/%s/serviceaccounts/default' % ns).code == 200)
    base = '/api/v1/namespaces/%s/pods' % ns
    api.must('POST', base, pod('p'))
    a = api('PATCH', base + '/p?dryRun=All', {'spec': {'containers': [{'name': 'c', 'image': 'other:1'}]}}, form='application/strategic-merge-patch+json')
    same((a.code, a['spec']['containers'][0]['image']), (200, 'other:1'))
    same(api.must('GET', base + '/p')['spec']['containers'][0]['image'], 'i:1')
    api.must('PATCH', base + '/p', {'spec': {'containers': [{'name': 'c', 'image': 'other:2'}]}}, form='application/strategic-merge-patch+json')
    same(api.must('GET', base + '/p')['spec']['containers'][0]['image'], 'other:2')


@behaviour
def a_daemon_set_counts_the_changes_of_its_template(api, ns):
    base, key = '/apis/apps/v1/namespaces/%s/daemonsets' % ns, 'deprecated.daemonset.template.generation'
    body = {'apiVersion': 'apps/v1', 'kind': 'DaemonSet', 'metadata': meta('d'), 'spec': {'selector': {'matchLabels': {'app': 'd'}}, 'template': template('d')}}
    same(api.must('POST', base, body)['metadata']['annotations'][key], '1')
    same(api.merge(base + '/d', {'metadata': {'annotations': {key: '7', 'own': 'x'}}})['metadata']['annotations'], {key: '1', 'own': 'x'})
    same(api.merge(base + '/d', {'spec': {'template': {'metadata': {'labels': {'more': 'x'}}}}})['metadata']['annotations'][key], '2')
    same(api.must('GET', base + '/d')['metadata']['generation'], 2)


@behaviour
def the_status_of_a_deployment_comes_without_labels(api, ns):
    base = '/apis/apps/v1/namespaces/%s/deployments' % ns
    body = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': meta('d', labels={'own': 'x'}),
            'spec': {'replicas': 0, 'selector': {'matchLabels': {'app': 'd'}}, 'template': template('d')}}
    api.must('POST', base, body)
    told = api.merge(base + '/d/status', {'metadata': {'labels': {'own': 'y', 'more': 'z'}, 'annotations': {'told': 'x'}}, 'status': {'observedGeneration': 1}})
    same((told['metadata']['labels'], told['metadata']['annotations'].get('told')), ({'own': 'x'}, 'x'))


@behaviour
def a_job_is_selected_by_its_uid_and_moves_while_it_is_suspended(api, ns):
    base, prefix = '/apis/batch/v1/namespaces/%s/jobs' % ns, 'batch.kubernetes.io/'
    def job(name, labels=None, **spec):
        pods = {'metadata': {'labels': labels or {}}, 'spec': {'restartPolicy': 'Never', 'containers': [{'name': 'c', 'image': 'i:1'}]}}
        return {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': meta(name), 'spec': dict({'template': pods}, **spec)}
    j = api.must('POST', base, job('j', suspend=True))
    uid = j['metadata']['uid']
    same(j['spec']['selector'], {'matchLabels': {prefix + 'controller-uid': uid}})
    same(j['spec']['template']['metadata']['labels'], {'job-name': 'j', prefix + 'job-name': 'j', 'controller-uid': uid, prefix + 'controller-uid': uid})
    # A label of one's own stays, and is refused where it does not fit.
    api.must('POST', base, job('k', {'job-name': 'k', 'own': 'x'}))
    odd = api.must('POST', base, job('l', {'job-name': 'other'}), code=422)['details']['causes']
    same([(c['field'], c['reason']) for c in odd], [('spec.template.metadata.labels[job-name]', 'FieldValueInvalid')])

    def place(name): return api('PATCH', base + '/' + name, {'spec': {'template': {'spec': {'nodeSelector': {'zone': 'a'}}}}}, form='application/merge-patch+json')
    same(place('j')['spec']['template']['spec']['nodeSelector'], {'zone': 'a'})
    same([c['field'] for c in place('k')['details']['causes']], ['spec.template'])
    told = api('PATCH', base + '/j/status', {'status': {'active': 1, 'ready': 2}}, form='application/merge-patch+json')
    same((told.code, [c['field'] for c in told['details']['causes']]), (422, ['status.ready']))


@behaviour
def schedules_and_what_is_scaled_are_judged(api, ns):
    pods = {'spec': {'restartPolicy': 'Never', 'containers': [{'name': 'c', 'image': 'i:1'}]}}
    def cron(**spec):
        return api('POST', '/apis/batch/v1/namespaces/%s/cronjobs' % ns, {'apiVersion': 'batch/v1', 'kind': 'CronJob', 'metadata': meta('c'),
                                                                         'spec': dict({'jobTemplate': {'spec': {'template': pods}}}, **spec)})
    def causes(answer): return [(c['field'], c['message']) for c in answer['details']['causes']]
    same(causes(cron(schedule='0 * * * *', timeZone='Europe/Nowhere')),
         [('spec.timeZone', 'Invalid value: "Europe/Nowhere": unknown time zone Europe/Nowhere')])
    same(causes(cron(schedule='CRON_TZ=UTC 0 * * * *')),
         [('spec.schedule', 'Invalid value: "CRON_TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead')])
    same(cron(schedule='0 * * * *', timeZone='America/Argentina/Buenos_Aires').code, 201)
    def scaler(**target):
        return api('POST', '/apis/autoscaling/v2/namespaces/%s/horizontalpodautoscalers' % ns,
                   {'apiVersion': 'autoscaling/v2', 'kind': 'HorizontalPodAutoscaler', 'metadata': meta('h'),
                    'spec': {'maxReplicas': 3, 'scaleTargetRef': dict({'kind': 'Deployment', 'name': 'd'}, **target)}})
    same([c['field'] for c in scaler(apiVersion='v1')['details']['causes']], ['spec.scaleTargetRef.apiVersion'])
    same(scaler(apiVersion='apps/v1').code, 201)


# ---- who and what may

@behaviour
def tokens_are_for_their_audience(api, ns):
    api.must('POST', '/api/v1/namespaces/%s/serviceaccounts' % ns, {'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': meta('sa')})
    token = api.must('POST', '/api/v1/namespaces/%s/serviceaccounts/sa/token' % ns,
                     {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': {'audiences': ['ours']}}, code=201)['status']['token']
    def review(token, *audiences):
        return api.must('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenReview',
                                                                                 'spec': {'token': token, 'audiences': list(audiences)}})['status']
    same(review(token, 'vault', 'ours')['audiences'], ['ours'])
    assert not review(token, 'vault').get('authenticated')
    same(review(TOKEN)['authenticated'], True)
    assert not review(TOKEN, 'vault').get('authenticated')  # one without audiences is for this server alone


@behaviour
def a_user_is_bound_by_the_whole_name(api, ns):
    path = '/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings' % ns
    for name, subject in (('star', '*'), ('known', 'known-' + ns)):
        api.must('POST', path, {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'RoleBinding', 'metadata': meta(name),
                                'subjects': [{'kind': 'User', 'name': subject, 'apiGroup': 'rbac.authorization.k8s.io'}],
                                'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'view'}})
    configs = '/api/v1/namespaces/%s/configmaps' % ns
    until('the binding counts', lambda: api.get(configs, headers={'Impersonate-User': 'known-' + ns}).code == 200)
    same(api.get(configs, headers={'Impersonate-User': 'somebody'}).code, 403)


@behaviour
def who_is_unauthenticated_stays_so(api, ns):
    def me(**headers):
        return api.post('/apis/authentication.k8s.io/v1/selfsubjectreviews', {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'SelfSubjectReview'}, headers=headers)
    same(me(**{'Impersonate-User': 'guest'})['status']['userInfo']['groups'], ['system:authenticated'])
    same(me(**{'Impersonate-User': 'guest', 'Impersonate-Group': 'system:unauthenticated'}).code, 403)  # system:basic-user is for others


@behaviour
def an_aggregation_rule_goes_by_full_authority_alone(api, ns):
    base, role = '/apis/rbac.authorization.k8s.io/v1/', 'gathers-' + ns
    api.must('POST', base + 'clusterroles', {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'ClusterRole', 'metadata': meta(role),
                                             'aggregationRule': {'clusterRoleSelectors': [{'matchLabels': {'gather': ns}}]}})
    api.must('POST', base + 'clusterroles', {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'ClusterRole', 'metadata': meta('edits-' + ns),
                                             'rules': [{'apiGroups': ['rbac.authorization.k8s.io'], 'resources': ['clusterroles'], 'verbs': ['get', 'update', 'patch']}]})
    api.must('POST', base + 'clusterrolebindings', {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'ClusterRoleBinding', 'metadata': meta('edits-' + ns),
             'subjects': [{'kind': 'User', 'name': 'editor-' + ns, 'apiGroup': 'rbac.authorization.k8s.io'}],
             'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'edits-' + ns}})
    try:
        editor = {'Impersonate-User': 'editor-' + ns}
        until('the binding counts', lambda: api.get(base + 'clusterroles/' + role, headers=editor).code == 200)
        a = api.merge(base + 'clusterroles/' + role, {'aggregationRule': None}, headers=editor)
        same(a.code, 403)
        assert 'must have cluster-admin privileges to use the aggregationRule' in a['message'], a['message']
        same(api.merge(base + 'clusterroles/' + role, {'aggregationRule': None}).code, 200)
    finally:
        api.delete(base + 'clusterrolebindings/edits-' + ns)
        for name in (role, 'edits-' + ns): api.delete(base + 'clusterroles/' + name)


@behaviour
def roles_that_collect_follow_their_parts(api, ns):
    base = '/apis/rbac.authorization.k8s.io/v1/clusterroles'
    rule = {'apiGroups': [ns + '.io'], 'resources': ['things'], 'verbs': ['get']}
    def rules(role): return api.must('GET', base + '/' + role).get('rules') or []
    api.must('POST', base, {'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'ClusterRole', 'metadata': meta('part-' + ns, labels={
        'rbac.authorization.k8s.io/aggregate-to-view': 'true'}), 'rules': [rule]})
    try:
        for role in ('view', 'edit', 'admin'): until('%s has what its part has' % role, lambda: rule in rules(role))
        api.merge(base + '/part-' + ns, {'rules': [dict(rule, verbs=['list'])]})
        until('admin follows', lambda: rule not in rules('admin') and dict(rule, verbs=['list']) in rules('admin'))
    finally: api.delete(base + '/part-' + ns)
    for role in ('view', 'edit', 'admin'): until('%s loses what its part had' % role, lambda: not any(ns + '.io' in r.get('apiGroups', []) for r in rules(role)))


@behaviour
def a_bound_pod_is_no_longer_nominated(api, ns):
    until('the account', lambda: api.get('/api/v1/namespaces/%s/serviceaccounts/default' % ns).code == 200)
    path = '/api/v1/namespaces/%s/pods' % ns
    api.must('POST', path, dict(pod('p', schedulerName='nobody')))
    api.must('PATCH', path + '/p/status', {'status': {'nominatedNodeName': 'n1'}}, form='application/merge-patch+json')
    api.must('POST', path + '/p/binding', {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': meta('p'), 'target': {'kind': 'Node', 'name': 'n2'}})
    bound = api.must('GET', path + '/p')
    same((bound['spec']['nodeName'], bound['status'].get('nominatedNodeName')), ('n2', None))


@behaviour
def what_an_old_kubelet_leaves_out_of_a_pods_status_stays(api, ns):
    until('the account', lambda: api.get('/api/v1/namespaces/%s/serviceaccounts/default' % ns).code == 200)
    path = '/api/v1/namespaces/%s/pods' % ns
    made = api.must('POST', path, dict(pod('p', schedulerName='nobody')))
    same(made['status']['qosClass'], 'BestEffort')
    told = dict(made, status={'phase': 'Running', 'observedGeneration': 1, 'conditions': [{'type': 'Ready', 'status': 'True', 'observedGeneration': 1}]})
    api.must('PUT', path + '/p/status', told)
    told['status'] = {'phase': 'Running', 'conditions': [{'type': 'Ready', 'status': 'False'}]}
    told['metadata'] = dict(made['metadata'], ownerReferences=[{'apiVersion': 'v1', 'kind': 'Node', 'name': 'n', 'uid': 'u'}])
    del told['metadata']['resourceVersion']
    now = api.must('PUT', path + '/p/status', told)
    has(now['status'], {'qosClass': 'BestEffort', 'observedGeneration': 1})
    same([c['observedGeneration'] for c in now['status']['conditions'] if c['type'] == 'Ready'], [1])
    assert 'ownerReferences' not in now['metadata'], now['metadata']
    a = api.merge(path + '/p/status', {'status': {'qosClass': 'Guaranteed'}})
    same(a.code, 422)


# ---- what nodes give to pods, and since when tokens are followed

@behaviour
def pods_have_the_topology_of_their_node(api, ns):
    where = {'topology.kubernetes.io/zone': 'z', 'topology.kubernetes.io/region': 'r'}
    api.must('POST', '/api/v1/nodes', {'apiVersion': 'v1', 'kind': 'Node', 'metadata': meta('topology-' + ns, labels=dict(where, other='o'))})
    try:
        until('the account', lambda: api.get('/api/v1/namespaces/%s/serviceaccounts/default' % ns).code == 200)
        pods = '/api/v1/namespaces/%s/pods' % ns
        for name, node in (('placed', 'topology-' + ns), ('bound', '')):
            spec = {'containers': [{'name': 'c', 'image': 'i'}], 'schedulerName': 'nobody', **({'nodeName': node} if node else {})}
            api.must('POST', pods, {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': meta(name, labels={'own': 'yes'}), 'spec': spec})
        api.must('POST', pods + '/bound/binding', {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': meta('bound'), 'target': {'kind': 'Node', 'name': 'topology-' + ns}})
        for name in ('placed', 'bound'): same(api.must('GET', pods + '/' + name)['metadata']['labels'], dict(where, own='yes'))
    finally: api.delete('/api/v1/nodes/topology-' + ns)


@behaviour
def since_when_tokens_are_followed_is_on_record(api, ns):
    since = api.must('GET', '/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking')['data']['since']
    assert re.fullmatch(r'\d{4}-\d\d-\d\d', since), since


# ---- what goes

@behaviour
def what_a_service_held_is_free_when_its_last_finalizer_goes(api, ns):
    base = '/api/v1/namespaces/%s/services' % ns
    body = {'apiVersion': 'v1', 'kind': 'Service', 'metadata': meta('held', finalizers=['example.com/mine']),
            'spec': {'type': 'NodePort', 'selector': {'a': 'b'}, 'ports': [{'port': 80}]}}
    held = api.must('POST', base, body)
    address, port = held['spec']['clusterIP'], held['spec']['ports'][0]['nodePort']
    api.must('DELETE', base + '/held')
    same(api.get(base + '/held').code, 200)
    api.merge(base + '/held', {'metadata': {'finalizers': None}})
    same(api.get(base + '/held').code, 404)
    same(api.get('/apis/networking.k8s.io/v1/ipaddresses/' + address).code, 404)
    api.must('POST', base, {'apiVersion': 'v1', 'kind': 'Service', 'metadata': meta('next'),
                            'spec': {'type': 'NodePort', 'clusterIP': address, 'selector': {'a': 'b'}, 'ports': [{'port': 80, 'nodePort': port}]}}, code=201)


@behaviour
def a_service_proxy_reaches_pods_alone(api, ns):
    api.must('POST', '/api/v1/namespaces/%s/services' % ns, {'apiVersion': 'v1', 'kind': 'Service', 'metadata': meta('aimed'), 'spec': {'ports': [{'port': 80}]}})
    api.must('POST', '/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices' % ns,
             {'apiVersion': 'discovery.k8s.io/v1', 'kind': 'EndpointSlice', 'metadata': meta('aimed-1', labels={'kubernetes.io/service-name': 'aimed'}), 'addressType': 'IPv4',
              'endpoints': [{'addresses': ['192.0.2.7'], 'conditions': {'ready': True}}], 'ports': [{'port': 80, 'protocol': 'TCP'}]})
    a = api.get('/api/v1/namespaces/%s/services/aimed/proxy/' % ns)
    same((a.code, a.get('message')), (503, 'no endpoints available for service "aimed"'))


@behaviour
def a_dead_conversion_webhook_hides_nothing_and_holds_nothing(api, ns):
    group = ns + '.example.com'
    schema = {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True}
    versions = [{'name': v, 'served': True, 'storage': v == 'v1', 'schema': {'openAPIV3Schema': schema}} for v in ('v1', 'v2')]
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    conversion = {'strategy': 'Webhook', 'webhook': {'conversionReviewVersions': ['v1'], 'clientConfig': {'url': 'https://127.0.0.1:%d/' % port}}}
    with definition(api, group, 'widgets', 'Widget', versions, conversion=conversion) as path:
        base = '/apis/%s/%%s/namespaces/%s/widgets' % (group, ns)
        until('it is served', lambda: api.get(base % 'v2').code == 200)
        for name in 'one', 'two':
            api.must('POST', base % 'v1', {'apiVersion': group + '/v1', 'kind': 'Widget', 'metadata': meta(name)})
        for query in '', '?fieldSelector=metadata.name%3Done':
            same((query, api.get(base % 'v2' + query).code), (query, 500))
        same([i['metadata']['name'] for i in api.must('GET', base % 'v1' + '?fieldSelector=metadata.name%3Done')['items']], ['one'])
        api.must('DELETE', path)
        until('the definition goes without being converted', lambda: api.get(path).code == 404)


# ---- many definitions

@behaviour
def a_definition_shows_at_once_among_many(api, ns):
    many, group = int(os.environ.get('KYBERN_DEFINITIONS', '150')), ns + '.example.com'
    base = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    schema = {'type': 'object', 'properties': {'spec': {'type': 'object', 'properties': {'f%d' % i: {'type': 'string', 'description': 'field %d' % i} for i in range(20)}}}}
    def one(i):
        return {'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition', 'metadata': meta('many%ds.g%d.%s' % (i, i // 10, group), labels={'many': ns}),
                'spec': {'group': 'g%d.%s' % (i // 10, group), 'scope': 'Namespaced', 'names': {'plural': 'many%ds' % i, 'kind': 'Many%d' % i},
                         'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': schema}}]}}
    try:
        for i in range(many): api.must('POST', base, one(i))
        api.must('GET', '/openapi/v3')
        begun = time.monotonic()
        api.must('POST', base, one(many))
        name = 'g%d.%s' % (many // 10, group)
        until('it is served', lambda: api.get('/apis/%s/v1/namespaces/%s/many%ds' % (name, ns, many)).code == 200)
        entry = api.must('GET', '/openapi/v3')['paths']['apis/%s/v1' % name]
        document = api.must('GET', entry['serverRelativeURL'])
        assert schema_name(name, 'v1', 'Many%d' % many) in document['components']['schemas']
        took = time.monotonic() - begun
        if os.environ.get('KYBERN_DEFINITIONS'): print('    %d definitions: the next one shows in %.3f s' % (many, took))
        assert took < 15, took  # on a busy machine; a second on one that is not
    finally:
        api.must('DELETE', base + '?labelSelector=many%3D' + ns)
        until('all are gone', lambda: not api.must('GET', base + '?limit=1&labelSelector=many%3D' + ns)['items'])


# ---- what else the conformance list names, and what operators of priority and fairness rely on

@behaviour
def webhook_configurations_have_all_operations(api, ns):
    version = 'admissionregistration.k8s.io/v1'
    for kind in ('Mutating', 'Validating'):
        base = '/apis/%s/%swebhookconfigurations' % (version, kind.lower())
        one = {'name': 'w.example.com', 'clientConfig': {'url': 'https://127.0.0.1:1/x'}, 'sideEffects': 'None', 'admissionReviewVersions': ['v1'],
               'rules': [{'operations': ['CREATE'], 'apiGroups': ['nobody.example.com'], 'apiVersions': ['v1'], 'resources': ['nothings']}],
               'matchConditions': [{'name': 'not-me', 'expression': "object.metadata.name != 'skip-me'"}]}
        body = {'apiVersion': version, 'kind': kind + 'WebhookConfiguration', 'metadata': meta(ns + '-x'), 'webhooks': [one]}
        all_operations(api, base, body)
        api.must('POST', base, body)
        try:
            changed = api.must('GET', base + '/' + ns + '-x')
            changed['webhooks'][0]['matchConditions'][0]['expression'] = "object.metadata.name == 'me'"
            same(api.must('PUT', base + '/' + ns + '-x', dict(changed))['webhooks'][0]['matchConditions'][0]['expression'], "object.metadata.name == 'me'")
            changed = api.must('GET', base + '/' + ns + '-x')
            changed['webhooks'][0]['matchConditions'][0]['expression'] = '... [} bad expression'
            body['metadata']['name'] = ns + '-y'
            one['matchConditions'][0]['expression'] = '... [} bad expression'
            for a in (api.put(base + '/' + ns + '-x', dict(changed)), api.post(base, body)):
                same((a.code, a.get('reason')), (422, 'Invalid'))
                assert 'webhooks[0].matchConditions[0].expression' in a['message'] and 'compilation failed' in a['message'], a['message']
        finally: api.delete(base + '/' + ns + '-x')


@behaviour
def a_webhook_changes_custom_resources_of_every_version_and_what_it_adds_is_pruned(api, ns):
    group = ns + '.example.com'
    schema = {'type': 'object', 'properties': {'data': {'type': 'object', 'properties': {k: {'type': 'string'} for k in ('first', 'second')}}}}
    version = 'admissionregistration.k8s.io/v1'
    def answer(request):
        patch = json.dumps([{'op': 'add', 'path': '/data/' + k, 'value': 'yes'} for k in ('second', 'unknown')]).encode()
        return {'allowed': True, 'patchType': 'JSONPatch', 'patch': base64.b64encode(patch).decode()}
    with definition(api, group, 'widgets', 'Widget', {'v1': schema, 'v2': schema}) as path, hook(answer) as where:
        body = {'apiVersion': version, 'kind': 'MutatingWebhookConfiguration', 'metadata': meta(ns), 'webhooks': [
            {'name': 'w.example.com', 'clientConfig': where, 'sideEffects': 'None', 'admissionReviewVersions': ['v1'],
             'rules': [{'operations': ['CREATE', 'UPDATE'], 'apiGroups': [group], 'apiVersions': ['*'], 'resources': ['widgets']}]}]}
        api.must('POST', '/apis/%s/mutatingwebhookconfigurations' % version, body)
        try:
            def made(v, name): return api.post('/apis/%s/%s/namespaces/%s/widgets' % (group, v, ns), {
                'apiVersion': '%s/%s' % (group, v), 'kind': 'Widget', 'metadata': meta(name), 'data': {'first': 'a'}})
            until('the webhook is asked', lambda: made('v1', 'try-%d' % time.monotonic_ns()).get('data', {}).get('second'))
            same(made('v1', 'one')['data'], {'first': 'a', 'second': 'yes'})
            current = api.must('GET', path)  # now v2 is the stored version
            for v in current['spec']['versions']: v['storage'] = v['name'] == 'v2'
            api.must('PUT', path, dict(current))
            same(made('v1', 'two')['data'], {'first': 'a', 'second': 'yes'})
            a = api.merge('/apis/%s/v1/namespaces/%s/widgets/one' % (group, ns), {'metadata': {'labels': {'a': 'b'}}})
            same((a.code, a['apiVersion'], a['data']), (200, group + '/v1', {'first': 'a', 'second': 'yes'}))
            same(api.must('GET', '/apis/%s/v2/namespaces/%s/widgets/one' % (group, ns))['data'], {'first': 'a', 'second': 'yes'})
        finally: api.delete('/apis/%s/mutatingwebhookconfigurations/%s' % (version, ns))


@behaviour
def a_webhook_may_refuse_definitions(api, ns):
    version = 'admissionregistration.k8s.io/v1'
    with hook(lambda request: {'allowed': False, 'status': {'message': 'no definitions'}}) as where:
        api.must('POST', '/apis/%s/validatingwebhookconfigurations' % version, {
            'apiVersion': version, 'kind': 'ValidatingWebhookConfiguration', 'metadata': meta(ns), 'webhooks': [
                {'name': 'w.example.com', 'clientConfig': where, 'sideEffects': 'None', 'admissionReviewVersions': ['v1'], 'objectSelector': {'matchLabels': {'refuse': ns}},
                 'rules': [{'operations': ['CREATE'], 'apiGroups': ['apiextensions.k8s.io'], 'apiVersions': ['*'], 'resources': ['customresourcedefinitions']}]}]})
        try:
            body = {'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition', 'metadata': meta('things.%s.example.com' % ns, labels={'refuse': ns}),
                    'spec': {'group': ns + '.example.com', 'scope': 'Namespaced', 'names': {'plural': 'things', 'kind': 'Thing'},
                             'versions': [{'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': {'type': 'object'}}}]}}
            a = until('the webhook refuses', lambda: (lambda r: r if r.code != 201 else None)(api.post('/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All', body)))
            same((a.code, a['message']), (400, 'admission webhook "w.example.com" denied the request: no definitions'))
        finally: api.delete('/apis/%s/validatingwebhookconfigurations/%s' % (version, ns))


@behaviour
def definitions_that_preserve_fields_say_so_in_their_documents(api, ns):
    group, keep = ns + '.example.com', {'x-kubernetes-preserve-unknown-fields': True}
    schemas = {'v1': dict(keep, type='object'), 'v2': {'type': 'object', 'properties': {'spec': dict(keep, type='object')}}}
    with definition(api, group, 'widgets', 'Widget', schemas), definition(api, group, 'things', 'Thing', schemas):
        for version in schemas:
            v3 = api.must('GET', '/openapi/v3/apis/%s/%s' % (group, version))['components']['schemas']
            for kind in ('Widget', 'Thing'):
                one = v3[schema_name(group, version, kind)]
                has(one if version == 'v1' else one['properties']['spec'], keep)
                assert schema_name(group, version, kind) in api.must('GET', '/openapi/v2')['definitions']


@behaviour
def a_replication_controller_is_scaled(api, ns):
    base = '/api/v1/namespaces/%s/replicationcontrollers' % ns
    until('the account', lambda: api.get('/api/v1/namespaces/%s/serviceaccounts/default' % ns).code == 200)
    api.must('POST', base, {'apiVersion': 'v1', 'kind': 'ReplicationController', 'metadata': meta('r'), 'spec': {'replicas': 1, 'selector': {'app': 'r'}, 'template': template('r')}})
    def pods(): return len(api.must('GET', '/api/v1/namespaces/%s/pods?labelSelector=app%%3Dr' % ns)['items'])
    until('one pod', lambda: pods() == 1)
    for wanted in (3, 0):
        same(api.merge(base + '/r/scale', {'spec': {'replicas': wanted}})['spec'].get('replicas', 0), wanted)
        until('%d pods' % wanted, lambda: pods() == wanted)


@behaviour
def quotas_of_a_scope_count_its_pods_alone(api, ns):
    base = '/api/v1/namespaces/%s/' % ns
    until('the account', lambda: api.get(base + 'serviceaccounts/default').code == 200)
    scopes = ('BestEffort', 'NotBestEffort', 'Terminating', 'NotTerminating')
    for scope in scopes:
        api.must('POST', base + 'resourcequotas', {'apiVersion': 'v1', 'kind': 'ResourceQuota', 'metadata': meta(scope.lower()),
                                                   'spec': {'hard': {'pods': '5'}, 'scopes': [scope]}})
    def counts(): return tuple(used(api, ns, s.lower()).get('pods') for s in scopes)
    until('all are counted', lambda: counts() == ('0', '0', '0', '0'))
    some = {'containers': [{'name': 'c', 'image': 'i:1', 'resources': {'requests': {'cpu': '10m'}, 'limits': {'cpu': '10m'}}}]}
    for name, spec, wanted in (('best', {}, ('1', '0', '0', '1')), ('not-best', some, ('0', '1', '0', '1')),
                               ('ends', {'activeDeadlineSeconds': 3600}, ('1', '0', '1', '0')), ('both', dict(some, activeDeadlineSeconds=3600), ('0', '1', '1', '0'))):
        api.must('POST', base + 'pods', pod(name, **spec), code=201)
        until(name + ' is counted', lambda: counts() == wanted)
        api.must('DELETE', base + 'pods/' + name + '?gracePeriodSeconds=0')
        until(name + ' is given back', lambda: counts() == ('0', '0', '0', '0'))


@behaviour
def pods_of_a_replication_controller_go_or_stay_as_its_deletion_says(api, ns):
    base = '/api/v1/namespaces/%s/' % ns
    until('the account', lambda: api.get(base + 'serviceaccounts/default').code == 200)
    def pods(name): return api.must('GET', base + 'pods?labelSelector=app%3D' + name)['items']
    def make(name):
        api.must('POST', base + 'replicationcontrollers', {'apiVersion': 'v1', 'kind': 'ReplicationController', 'metadata': meta(name),
                                                           'spec': {'replicas': 2, 'selector': {'app': name}, 'template': template(name)}})
        return until('the pods of ' + name, lambda: (lambda p: p if len(p) == 2 else None)(pods(name)))
    make('goes')
    api.must('DELETE', base + 'replicationcontrollers/goes', {'propagationPolicy': 'Background'})
    until('its pods are gone', lambda: not pods('goes'))
    make('stays')
    api.must('DELETE', base + 'replicationcontrollers/stays', {'propagationPolicy': 'Orphan'})
    until('it is gone', lambda: api.get(base + 'replicationcontrollers/stays').code == 404)
    until('its pods belong to nobody', lambda: len(pods('stays')) == 2 and not any(p['metadata'].get('ownerReferences') for p in pods('stays')))
    held = make('waits')[0]['metadata']['name']
    api.must('PATCH', base + 'pods/' + held, {'metadata': {'finalizers': ['example.com/hold']}}, form='application/merge-patch+json')
    api.must('DELETE', base + 'replicationcontrollers/waits', {'propagationPolicy': 'Foreground'})
    until('one pod is left', lambda: [p['metadata']['name'] for p in pods('waits')] == [held])
    waiting = api.must('GET', base + 'replicationcontrollers/waits')
    assert waiting['metadata']['deletionTimestamp'] and 'foregroundDeletion' in waiting['metadata']['finalizers'], waiting['metadata']
    api.must('PATCH', base + 'pods/' + held, {'metadata': {'finalizers': None}}, form='application/merge-patch+json')
    until('all is gone', lambda: not pods('waits') and api.get(base + 'replicationcontrollers/waits').code == 404)


@behaviour
def who_has_another_owner_outlives_one(api, ns):
    base = '/api/v1/namespaces/%s/configmaps' % ns
    uid = {n: api.must('POST', base, config_map(n))['metadata']['uid'] for n in ('waits', 'valid')}
    def owned(*owners): return [{'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': o, 'uid': uid[o], 'blockOwnerDeletion': True} for o in owners]
    for name, owners in (('one', ('waits',)), ('both', ('waits', 'valid'))):
        body = config_map(name)
        body['metadata']['ownerReferences'] = owned(*owners)
        api.must('POST', base, body)
    api.must('DELETE', base + '/waits', {'propagationPolicy': 'Foreground'})
    until('the owner and who was its alone are gone', lambda: api.get(base + '/waits').code == 404 and api.get(base + '/one').code == 404)
    until('the other owner is left', lambda: [o['name'] for o in api.must('GET', base + '/both')['metadata'].get('ownerReferences', [])] == ['valid'])


@behaviour
def service_accounts_and_quotas_have_all_operations(api, ns):
    base = '/api/v1/namespaces/%s/' % ns
    all_operations(api, base + 'serviceaccounts', {'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': meta('x')})
    all_operations(api, base + 'resourcequotas', {'apiVersion': 'v1', 'kind': 'ResourceQuota', 'metadata': meta('x'), 'spec': {'hard': {'pods': '1'}}}, status=True)


@behaviour
def a_flow_schema_tells_whether_its_level_exists(api, ns):
    base, version = '/apis/flowcontrol.apiserver.k8s.io/v1/', 'flowcontrol.apiserver.k8s.io/v1'
    def dangling(): return condition(api.must('GET', base + 'flowschemas/' + ns), 'Dangling')
    api.must('POST', base + 'flowschemas', {'apiVersion': version, 'kind': 'FlowSchema', 'metadata': meta(ns),
                                            'spec': {'matchingPrecedence': 5000, 'priorityLevelConfiguration': {'name': ns}}})
    try:
        until('it says that there is none', lambda: dangling() == 'True')
        api.must('POST', base + 'prioritylevelconfigurations', {'apiVersion': version, 'kind': 'PriorityLevelConfiguration', 'metadata': meta(ns),
                                                                'spec': {'type': 'Limited', 'limited': {'limitResponse': {'type': 'Reject'}}}})
        until('it says that there is one', lambda: dangling() == 'False')
        table = api.must('GET', base + 'flowschemas/' + ns, accept='application/json;as=Table;v=v1;g=meta.k8s.io')
        row = dict(zip((c['name'] for c in table['columnDefinitions']), table['rows'][0]['cells']))
        same(row['MissingPL'], 'False')
        api.must('DELETE', base + 'prioritylevelconfigurations/' + ns)
        until('it says that it went', lambda: dangling() == 'True')
    finally:
        api.delete(base + 'flowschemas/' + ns)
        api.delete(base + 'prioritylevelconfigurations/' + ns)


@behaviour
def the_dumps_of_priority_and_fairness(api, ns):
    base = '/debug/api_priority_and_fairness/dump_'
    rows = api.must('GET', base + 'priority_levels').text.splitlines()
    same([c.strip() for c in rows[0].split(',')], ['PriorityLevelName', 'ActiveQueues', 'IsIdle', 'IsQuiescing', 'WaitingRequests', 'ExecutingRequests'])
    levels = {r.split(',')[0]: [c.strip() for c in r.split(',')] for r in rows[1:]}
    same(levels['exempt'][1:], ['0', 'false', 'false', '0', '1'])  # this request itself
    assert {'catch-all', 'global-default', 'leader-election', 'node-high', 'system', 'workload-high', 'workload-low'} < set(levels), levels
    queues = api.must('GET', base + 'queues').text.splitlines()
    same(len(queues[0].split(',')), 9)
    same(sum(r.startswith('workload-low,') for r in queues), 128)
    same(len(api.must('GET', base + 'requests').text.splitlines()[0].split(',')), 9)
    same(len(api.must('GET', base + 'requests?includeRequestDetails=1').text.splitlines()[0].split(',')), 17)
    same(api.get(base + 'nothing').code, 404)


@behaviour
def a_proxy_on_a_socket_leads_to_the_api(api, ns):
    with tempfile.TemporaryDirectory() as d:
        proxy = subprocess.Popen([sys.argv[1], 'kubectl', '--server', 'https://127.0.0.1:%d' % api.port, '--insecure-skip-tls-verify', '--token', TOKEN,
                                  'proxy', '--unix-socket=' + d + '/s'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=dict(os.environ, KUBECONFIG=d + '/none'))
        try:
            until('it listens', lambda: os.path.exists(d + '/s') or proxy.poll() is not None)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(BOUND_S)
                s.connect(d + '/s')
                s.sendall(b'GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n')
                text = b''
                while chunk := s.recv(65536): text += chunk
            assert text.split(None, 2)[1] == b'200' and b'"APIVersions"' in text, text
        finally: proxy.terminate(); proxy.wait(BOUND_S)


@behaviour
def versions_of_lists_and_watches_to_the_letter(api, ns):
    base = '/api/v1/namespaces/%s/podtemplates' % ns
    for path in (base + '?resourceVersion=x', base + '?watch=1&resourceVersion=x'):
        a = api.get(path)
        same((a.code, a.get('reason'), a.get('details'), a['message']),
             (500, None, None, 'resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax'))
    a = api.get(base + '?resourceVersion=99999999999')
    same((a.code, a['reason'], a['details']), (504, 'Timeout', {'causes': [{'reason': 'ResourceVersionTooLarge', 'message': 'Too large resource version'}], 'retryAfterSeconds': 1}))
    assert re.fullmatch(r'Timeout: Too large resource version: 99999999999, current: \d+', a['message']), a['message']  # clients of Java match this
    with Watch(api, base + '?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=99999999999') as w:
        kind, status = w.next()
        same((kind, status['code'], status['reason']), ('ERROR', 504, 'Timeout'))
    api.must('POST', base, {'apiVersion': 'v1', 'kind': 'PodTemplate', 'metadata': meta('t'), 'template': template('x')})
    now = api.must('GET', base)['metadata']['resourceVersion']
    with Watch(api, base + '?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=' + now) as w: w.expect(('ADDED', 't'))
    a = api.get(base + '?continue=ab!d')
    same((a.code, a['message']), (400, 'invalid continue token: continue key is not valid: illegal base64 data at input byte 2'))


@behaviour
def a_certificate_of_a_conversion_webhook_may_be_filled_in_later(api, ns):
    def conversion(**config):
        return {'strategy': 'Webhook', 'webhook': {'clientConfig': dict({'url': 'https://127.0.0.1:1/'}, **config), 'conversionReviewVersions': ['v1']}}
    with definition(api, ns + '.example.com', 'links', 'Link', conversion=conversion(caBundle='Cg==')) as path:
        same(api.merge(path, {'metadata': {'labels': {'a': 'b'}}}).code, 200)
        same(api.merge(path, {'spec': {'conversion': conversion(caBundle=None)}}).code, 200)
        a = api.merge(path, {'spec': {'conversion': conversion(caBundle='Cg==')}})  # once there is a good one it stays good
        same((a.code, a['details']['causes'][0]['field']), (422, 'spec.conversion.webhookClientConfig.caBundle'))


@behaviour
def groups_of_definitions_come_by_name_behind_the_built_in_ones(api, ns):
    first, second = 'a.%s.io' % ns, 'z.%s.io' % ns
    with definition(api, second, 'aaas', 'Aaa'), definition(api, first, 'zzzs', 'Zzz'):
        names = [g['name'] for g in api.must('GET', '/apis')['groups']]
        assert names.index('apps') < names.index(first) < names.index(second), names
        both = api.must('GET', '/apis', accept='application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList')['items']
        same([g['metadata']['name'] for g in both], names)


@behaviour
def names_and_addresses_of_services_are_as_strict_as_upstreams(api, ns):
    services = '/api/v1/namespaces/%s/services' % ns
    def service(name, **spec): return {'metadata': {'name': name}, 'spec': dict({'ports': [{'port': 80}]}, **spec)}
    api.must('POST', services, service('1st'))
    def causes(body): return [(c['field'], c['message']) for c in api.must('POST', services, body, code=422)['details']['causes']]
    assert causes(service('a', clusterIP='10.96.0.010')) == [
        ('spec.clusterIPs[0]', 'Invalid value: "10.96.0.010": must not have leading 0s')], causes(service('a', clusterIP='10.96.0.010'))
    assert causes(service('a', type='LoadBalancer', loadBalancerSourceRanges=['10.0.0.1/8'])) == [
        ('spec.LoadBalancerSourceRanges[0]', 'Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length')]
    policies = '/apis/networking.k8s.io/v1/namespaces/%s/networkpolicies' % ns
    a = api.must('POST', policies, {'metadata': {'name': 'a'}, 'spec': {'podSelector': {}, 'egress': [{'to': [{'ipBlock': {'cidr': '010.0.0.0/8'}}]}]}},
                 code=422)
    assert 'must not have leading 0s in IP or prefix length' in a['message'], a['message']


@behaviour
def a_tls_secret_whose_key_is_anothers_is_warned_of(api, ns):
    with tempfile.TemporaryDirectory() as folder:
        def pair(name):
            key, certificate = os.path.join(folder, name + '.key'), os.path.join(folder, name + '.crt')
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key,
                            '-out', certificate, '-subj', '/CN=a', '-days', '1'], check=True, capture_output=True)
            return [base64.b64encode(open(f, 'rb').read()).decode() for f in (certificate, key)]
        (certificate, key), (_, other) = pair('a'), pair('b')
    def secret(name, key):
        return {'metadata': {'name': name}, 'type': 'kubernetes.io/tls', 'data': {'tls.crt': certificate, 'tls.key': key}}
    path = '/api/v1/namespaces/%s/secrets' % ns
    assert api.must('POST', path, secret('good', key)).warnings == []
    a = api.must('POST', path, secret('bad', other))
    assert a.warnings == ['299 - "tls: private key does not match public key"'], a.warnings
    a = api.must('PUT', path + '/good', dict(secret('good', other)))
    assert len(a.warnings) == 1, a.warnings


@behaviour
def the_flow_objects_that_the_server_relies_on_stay_what_they_are(api, ns):
    group = '/apis/flowcontrol.apiserver.k8s.io/v1/'
    level = api.must('GET', group + 'prioritylevelconfigurations/exempt')
    level['spec']['exempt']['nominalConcurrencyShares'] = 7
    api.must('PUT', group + 'prioritylevelconfigurations/exempt?dryRun=All', level)
    schema = api.must('GET', group + 'flowschemas/catch-all')
    api.must('PUT', group + 'flowschemas/catch-all?dryRun=All', schema)
    schema['spec']['matchingPrecedence'] = 9999
    a = api.must('PUT', group + 'flowschemas/catch-all?dryRun=All', schema, code=422)
    assert "spec of 'catch-all' must equal the fixed value" in a['message'], a['message']
    for kind, name in (('flowschemas', 'exempt'), ('prioritylevelconfigurations', 'catch-all')):
        api.must('PUT', group + kind + '/' + name + '?dryRun=All', api.must('GET', group + kind + '/' + name))


@behaviour
def the_two_data_sources_of_a_claim_say_the_same(api, ns):
    path = '/api/v1/namespaces/%s/persistentvolumeclaims' % ns
    def claim(name, **spec):
        spec = dict({'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}}, **spec)
        return api.must('POST', path, {'metadata': {'name': name}, 'spec': spec})['spec']
    snapshot = {'apiGroup': 'snapshot.storage.k8s.io', 'kind': 'VolumeSnapshot', 'name': 's'}
    populator = {'apiGroup': 'x.io', 'kind': 'X', 'name': 'x'}
    a = claim('a', dataSource=snapshot)
    assert a['dataSourceRef'] == snapshot, a
    b = claim('b', dataSourceRef=populator)
    assert b['dataSource'] == populator, b
    c = claim('c', dataSource=populator)
    assert 'dataSource' not in c and 'dataSourceRef' not in c, c
    api.must('PUT', path + '/a', dict(api.must('GET', path + '/a'), metadata={'name': 'a', 'labels': {'x': 'y'}}))


@behaviour
def a_format_that_nothing_checks_is_warned_of(api, ns):
    name, path = 'formats.%s.io' % ns, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    def properties(**formats): return {k: {'type': 'string', 'format': v} for k, v in formats.items()}
    def definition(props):
        return {'metadata': {'name': name}, 'spec': {
            'group': ns + '.io', 'scope': 'Namespaced', 'names': {'plural': 'formats', 'kind': 'Format'}, 'versions': [
                {'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': {'type': 'object', 'properties': props}}}]}}
    try:
        a = api.must('POST', path, definition(properties(a='date-time', b='odd')))
        assert a.warnings == ['299 - "unrecognized format \\"odd\\""'], a.warnings
        a = api.merge(path + '/' + name, {'metadata': {'labels': {'a': 'b'}}})
        assert a.code == 200 and a.warnings == [], (a.code, a.warnings)
    finally:
        api.delete(path + '/' + name)


def main():
    if len(sys.argv) < 2: print(__doc__); return 2
    data = tempfile.mkdtemp(prefix='kybern-behaviours-')
    with open(data + '/tokens', 'w') as f: f.write('%s,admin,admin-uid,"system:masters"\n' % TOKEN)
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    server = subprocess.Popen([sys.argv[1], 'server', '--data-dir', data, '--bind-address', '127.0.0.1', '--secure-port', str(port), '--token-auth-file', data + '/tokens',
                               '--agent=false', '--proxy=false', '--dns=false'], stdin=subprocess.DEVNULL, stdout=open(data + '/log', 'w'), stderr=subprocess.STDOUT)
    api, failed, n = Api(port), 0, 0
    def ready():
        if server.poll() is not None: raise AssertionError('the server ended: ' + open(data + '/log').read()[-2000:])
        try: return api.get('/api/v1/namespaces/default/serviceaccounts/default').code == 200
        except OSError: return False
    try:
        until('the server is ready', ready)
        for case in CASES:
            if len(sys.argv) > 2 and not re.search(sys.argv[2], case.__name__): continue
            n += 1
            ns = 'ab-%d' % n
            api.must('POST', '/api/v1/namespaces', {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': meta(ns)})
            begun = time.monotonic()
            try:
                case(api, ns)
                print('ok      %s (%.1f s)' % (case.__name__, time.monotonic() - begun))
            except Skipped as e: print('skipped %s: %s' % (case.__name__, e))
            except Exception as e:
                failed += 1
                print('FAILED  %s: %s: %s' % (case.__name__, type(e).__name__, str(e)[:1500]))
                for line in traceback.format_tb(e.__traceback__)[-2:]: print('        ' + line.strip().replace('\n', '\n        '))
            finally: api.delete('/api/v1/namespaces/' + ns)
            sys.stdout.flush()
        print('%d behaviours, %d differ' % (n, failed))
        return 1 if failed else 0
    finally:
        server.terminate()
        try: server.wait(20)
        except subprocess.TimeoutExpired: server.kill(); server.wait()
        shutil.rmtree(data, ignore_errors=True)


if __name__ == '__main__': sys.exit(main())
