// A station on ocpp-rpc in strict mode: what the bridge sends and answers is checked by schemas that are not ours.
// Usage: node station.mjs URL IDENTITY VERSION. Prints JSON lines; ends when stdin does, with all that it found wrong.
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const { RPCClient, createValidator } = require('ocpp-rpc');

const [url, identity, version] = process.argv.slice(2);
const is16 = version === '1.6';
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');
const now = () => new Date().toISOString();
const failures = [];
const calls = [];

// ocpp-rpc 2.2.1 has the schemas of 2.1, but under names by which it does not look for them.
const named21 = require('ocpp-rpc/lib/schemas/ocpp2_1.json').map((one) => ({
  ...one, $id: one.$id.replace(/Request$/, '.req').replace(/Response$/, '.conf'),
}));

const station = new RPCClient({
  endpoint: `${url}/ocpp`,
  identity,
  protocols: [`ocpp${version}`],
  strictMode: true,
  strictModeValidators: version === '2.1' ? [createValidator('ocpp2.1', named21)] : [],
  reconnect: false,
});
station.on('strictValidationFailure', ({ error, method, isCall }) =>
  failures.push(`${isCall ? 'call' : 'answer'} ${method}: ${error.message} ${JSON.stringify(error.details)}`));
station.on('badMessage', ({ error }) => failures.push(`bad message: ${error.message}`));

const handle = (method, answer) => station.handle(method, ({ params }) => {
  calls.push([method, params]);
  say({ call: method, params });
  return answer(params);
});
handle('SetChargingProfile', () => ({ status: 'Accepted' }));
handle('ClearChargingProfile', () => ({ status: 'Accepted' }));
handle('GetCompositeSchedule', () => ({ status: 'Rejected' }));
if (is16) {
  handle('GetConfiguration', ({ key }) => ({
    configurationKey: [{ key: 'ChargeProfileMaxStackLevel', readonly: true, value: '3' }],
    unknownKey: key.filter((one) => one !== 'ChargeProfileMaxStackLevel'),
  }));
} else {
  handle('GetVariables', ({ getVariableData }) => ({
    getVariableResult: getVariableData.map((one) => ({ ...one, attributeStatus: 'UnknownVariable' })),
  }));
}

const sampled = is16
  ? [{ timestamp: now(), sampledValue: [{ value: '5000', measurand: 'Power.Active.Import', unit: 'W' }] }]
  : [{ timestamp: now(), sampledValue: [{ value: 5000, measurand: 'Power.Active.Import' }] }];
const idToken = { idToken: 'TAG-1', type: 'ISO14443' };
const event = (eventType, triggerReason, seqNo, more = {}) => station.call('TransactionEvent', {
  eventType, triggerReason, seqNo, timestamp: now(), transactionInfo: { transactionId: 'tx-1' },
  evse: { id: 1, connectorId: 1 }, idToken, ...more,
});

async function begin() {
  if (is16) {
    await station.call('BootNotification', { chargePointVendor: 'strict', chargePointModel: 'rpc' });
    await station.call('StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Preparing' });
    await station.call('Authorize', { idTag: 'TAG-1' });
    const started = { connectorId: 1, idTag: 'TAG-1', meterStart: 0, timestamp: now() };
    const { transactionId } = await station.call('StartTransaction', started);
    await station.call('MeterValues', { connectorId: 1, transactionId, meterValue: sampled });
    await station.call('DiagnosticsStatusNotification', { status: 'Idle' });
    return transactionId;
  }
  const about = { vendorName: 'strict', model: 'rpc' };
  await station.call('BootNotification', { reason: 'PowerUp', chargingStation: about });
  await station.call('StatusNotification',
    { timestamp: now(), connectorStatus: 'Occupied', evseId: 1, connectorId: 1 });
  await station.call('Authorize', { idToken });
  await event('Started', 'CablePluggedIn', 0);
  await event('Updated', 'MeterValuePeriodic', 1, { meterValue: sampled });
  await station.call('MeterValues', { evseId: 1, meterValue: sampled });
  await station.call('NotifyReport', { requestId: 1, generatedAt: now(), seqNo: 0 });
  await station.call('SecurityEventNotification', { type: 'StartupOfTheDevice', timestamp: now() });
  return 'tx-1';
}

async function end(transactionId) {
  if (is16) await station.call('StopTransaction', { transactionId, meterStop: 9, timestamp: now(), idTag: 'TAG-1' });
  else await event('Ended', 'EVCommunicationLost', 2);
}

await station.connect();
const transactionId = await begin();
await station.call('Heartbeat', {});
await station.call('FirmwareStatusNotification', { status: 'Idle' });
await station.call('DataTransfer', { vendorId: 'nobody' });
let isStrict = false; // a station that checks nothing would find nothing
await station.call('Heartbeat', { surplus: 1 }).catch(() => { isStrict = true; });
const strictly = failures.splice(0);
say({ transactionId, isStrict, strictly });
process.stdin.resume();
await new Promise((resolve) => process.stdin.once('end', resolve));
await end(transactionId);
await station.close();
say({ failures, methods: [...new Set(calls.map(([method]) => method))] });
process.exit(0);
