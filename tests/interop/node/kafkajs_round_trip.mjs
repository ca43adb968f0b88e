// Produces and consumes with kafkajs; prints what came back as JSON for the test to compare.
import kafkajs from 'kafkajs'

const { CompressionTypes, Kafka, logLevel } = kafkajs
const [bootstrap, topic] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [bootstrap], clientId: 'kafkajs', logLevel: logLevel.ERROR })
const messages = [
  { key: 'k', value: 'v', headers: { h: '1' }, timestamp: '1700000000001' },
  { key: null, value: 'no key', timestamp: '1700000000002' },
  { key: 'tombstone', value: null, timestamp: '1700000000003' },
  { key: '', value: '', timestamp: '1700000000004' },
]

const admin = kafka.admin()
await admin.connect()
await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
const producer = kafka.producer()
await producer.connect()
for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
  await producer.send({ topic, messages, compression, acks: -1 })
}
await producer.disconnect()

const text = bytes => (bytes === null || bytes === undefined ? null : bytes.toString())
const found = []
const consumer = kafka.consumer({ groupId: `${topic}-kafkajs` })
await consumer.connect()
await consumer.subscribe({ topics: [topic], fromBeginning: true })
await new Promise((resolve, reject) => {
  consumer.on(consumer.events.CRASH, event => reject(event.payload.error))
  consumer.run({
    eachMessage: async ({ message }) => {
      found.push({
        key: text(message.key),
        value: text(message.value),
        timestamp: message.timestamp,
        offset: message.offset,
        headers: Object.fromEntries(
          Object.entries(message.headers ?? {}).map(([name, value]) => [name, text(value)])
        ),
      })
      if (found.length === 2 * messages.length) resolve()
    },
  })
})
await consumer.disconnect()
const described = await admin.describeGroups([`${topic}-kafkajs`])
await admin.deleteTopics({ topics: [topic] })
await admin.disconnect()
console.log(JSON.stringify({ found, state: described.groups[0].state }))
