// Produces and consumes with @platformatic/kafka; prints what came back as JSON for the test.
import { Admin, Consumer, MessagesStreamModes, Producer } from '@platformatic/kafka'

const [bootstrap, topic] = process.argv.slice(2)
const base = { clientId: 'platformatic', bootstrapBrokers: [bootstrap] }
const bytes = text => (text === null ? null : Buffer.from(text))
const text = value => (value === null || value === undefined ? null : value.toString())

const admin = new Admin(base)
await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
const producer = new Producer(base)
const sent = []
for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
  const messages = [
    { topic, key: bytes('k'), value: bytes(compression), headers: new Map([[bytes('h'), bytes('1')]]) },
    { topic, key: bytes('tombstone'), value: null },
    { topic, key: bytes(''), value: bytes('') },
  ].map((message, index) => ({ ...message, timestamp: 1700000000001n + BigInt(index) }))
  try {
    await producer.send({ messages, acks: -1, compression })
    sent.push(compression)
  } catch (error) {
    // A codec that this version of node lacks is the client's matter, and named in the answer.
    const codes = [error, ...(error.errors ?? [])].map(each => each.code)
    if (!codes.includes('PLT_KFK_UNSUPPORTED_COMPRESSION')) throw error
  }
}
await producer.close()

const consumer = new Consumer({ ...base, groupId: `${topic}-platformatic` })
const stream = await consumer.consume({
  autocommit: true,
  topics: [topic],
  mode: MessagesStreamModes.EARLIEST,
  sessionTimeout: 10000,
  heartbeatInterval: 500,
})
const found = []
for await (const message of stream) {
  found.push({
    key: text(message.key),
    value: text(message.value),
    timestamp: String(message.timestamp),
    offset: String(message.offset),
    headers: Object.fromEntries([...message.headers].map(([k, v]) => [text(k), text(v)])),
  })
  if (found.length === 3 * sent.length) break
}
await consumer.close(true)
await admin.deleteTopics({ topics: [topic] })
await admin.close()
console.log(JSON.stringify({ found, sent }))
