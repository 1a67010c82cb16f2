// Drives a running gateway by a definition of the connector, with swagger-client, which knows nothing else of it.
//
// connector_clients.py starts it, with the environment SPEC (an address or a file), EDITION, KEY, LIMITED (a key with a quota
// of 3 calls in 8 seconds) and ADMIN (the address of the sandbox's messages).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import SwaggerClient from 'swagger-client';

const { SPEC, EDITION, KEY, LIMITED, ADMIN } = process.env;

async function connect(key) {
    const source = SPEC.startsWith('http') ? { url: SPEC } : { spec: JSON.parse(await readFile(SPEC, 'utf8')) };
    const client = await new SwaggerClient({ ...source, authorizations: { api_key: key } });
    assert.deepEqual(client.errors, []);
    return client.apis;
}

async function messages(number, count = 1) {
    for (let tries = 0; tries < 1000; tries += 1) {
        const answer = await fetch(`${ADMIN}/sandbox/messages?number=${encodeURIComponent(number)}`);
        const found = await answer.json();
        if (found.length >= count) return found;
        await sleep(20);
    }
    throw new Error(`no ${count} messages reached ${number}`);
}

// The status of a call that fails.
async function refused(call) {
    try {
        await call();
    } catch (error) {
        assert.ok(error.response, error);
        return error.response;
    }
    throw new Error('a refusal was expected');
}

const other = (code) => (/^0+$/.test(code) ? code.replaceAll('0', '1') : code.replaceAll(/./g, '0'));

async function native(apis) {
    const { otp } = apis;
    const number = '+4915112340021';
    const sent = (await otp.SendOTP({ body: { number } })).body;
    assert.equal(sent.otpStatus, 'ACTIVE');
    const [{ code }] = await messages(number);
    const wrong = (await otp.VerifyOTP({ otpID: sent.otpId, body: { otpCode: other(code) } })).body;
    assert.deepEqual([wrong.verified, wrong.otpStatus, wrong.attemptsLeft], [false, 'ACTIVE', 2]);
    assert.equal((await otp.StatusOTP({ otpID: sent.otpId })).body.attemptCount, 1);
    await otp.ResendOTP({ otpID: sent.otpId, body: {} });
    assert.equal((await messages(number, 2))[0].code, code);
    const right = (await otp.VerifyOTP({ otpID: sent.otpId, body: { otpCode: code } })).body;
    assert.deepEqual([right.verified, right.otpStatus], [true, 'VERIFIED']);

    const zero = (await otp.SendOTP({ body: { number, otpCode: '012345' } })).body;
    const verdict = (await otp.VerifyOTP({ otpID: zero.otpId, body: { otpCode: '012345' } })).body;
    assert.equal(verdict.verified, true);
    assert.equal((await otp.DeleteOTP({ otpID: zero.otpId })).body.otpStatus, 'VERIFIED');
    assert.equal((await refused(() => otp.StatusOTP({ otpID: zero.otpId }))).status, 404);
    // The client writes it percent-encoded, as the definition says.
    assert.equal((await refused(() => otp.StatusOTP({ otpID: 'a b/c' }))).status, 404);
    const twice = () => otp.SendOTP({ body: { number: '+4915112340022' }, 'Idempotency-Key': 'k-1' });
    assert.equal((await twice()).body.otpId, (await twice()).body.otpId);
}

async function compatible(apis) {
    const { tyntec } = apis;
    const number = '+4915112340031';
    const sent = (await tyntec.SendOTP({ number, Sender: 'Bank' })).body;
    assert.equal(sent.otpStatus, 'ACTIVE');
    const [{ code, sender }] = await messages(number);
    assert.equal(sender, 'Bank');
    const wrong = await refused(() => tyntec.VerifyOTP({ otpID: sent.otpId, otpCode: other(code) }));
    assert.deepEqual([wrong.status, wrong.body.otpStatus], [401, 'ACTIVE']);
    await tyntec.ResendOTP({ otpID: sent.otpId });
    assert.equal((await messages(number, 2))[0].code, code);
    const right = (await tyntec.VerifyOTP({ otpID: sent.otpId, otpCode: code })).body;
    assert.equal(right.otpStatus, 'VERIFIED');
    const zero = (await tyntec.SendOTP({ number, otpCode: '012345' })).body;
    assert.equal((await tyntec.VerifyOTP({ otpID: zero.otpId, otpCode: 12345 })).body.otpStatus, 'VERIFIED');
    assert.equal((await tyntec.StatusOTP({ otpID: zero.otpId })).body.otpStatus, 'VERIFIED');
    await tyntec.DeleteOTP({ otpID: zero.otpId });
    assert.equal((await refused(() => tyntec.StatusOTP({ otpID: zero.otpId }))).status, 404);
}

// A 429 that is waited out.
async function waits(apis) {
    const call = () => apis.connection.GetConnection();
    let refusal;
    for (let calls = 0; calls < 4 && !refusal; calls += 1) {
        await call().catch((error) => {
            refusal = error.response;
        });
    }
    assert.equal(refusal?.status, 429);
    const seconds = Number(refusal.headers['retry-after']);
    assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 8, `Retry-After: ${seconds}`);
    await sleep(seconds * 1000);
    assert.equal((await call()).status, 200);
}

await (EDITION === 'native' ? native : compatible)(await connect(KEY));
await waits(await connect(LIMITED));
console.log(`swagger-client drove the ${EDITION} definition`);
