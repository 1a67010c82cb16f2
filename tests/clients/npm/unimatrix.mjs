// uni-sdk for Node, driven by unimatrix.py: endpoint, access key id and maybe its secret as arguments, then a line of JSON a
// call. Needs the packages of package.json beside it.
import { createInterface } from "node:readline";
import sdk from "uni-sdk";

const [endpoint, accessKeyId, accessKeySecret] = process.argv.slice(2);
const client = new sdk.UniClient({ endpoint, accessKeyId, accessKeySecret });

for await (const line of createInterface({ input: process.stdin })) {
    const [call, params] = JSON.parse(line);
    let told;
    try {
        const { data, valid, requestId, status } = await client.otp[call](params);
        told = { data, valid, requestId, status };
    } catch ({ code, message, requestId }) {
        told = { error: { code, message, requestId: requestId ?? null } };
    }
    process.stdout.write(JSON.stringify(told) + "\n");
}
