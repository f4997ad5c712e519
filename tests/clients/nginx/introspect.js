async function check(request) {
    const bearer = /^Bearer (\S+)$/i.exec(request.headersIn.Authorization || '');
    if (!bearer) {
        return request.return(401);
    }
    const body = 'token=' + encodeURIComponent(bearer[1]);
    const answer = await request.subrequest('/_introspect', { method: 'POST', body: body });
    // The status is 200 for a token that is not active too.
    request.return(answer.status !== 200 ? 503 : JSON.parse(answer.responseText).active ? 204 : 401);
}

export default { check };
