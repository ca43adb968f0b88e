"""Requests and responses between dicts and bytes, driven by the declarations in `messages`.

A decoded body is a dict that holds every field of the message: those the version lacks, and tagged
fields that were not sent, have their defaults.  On encode a missing key means the default, and a
key that the version lacks is dropped, so one dict serves every version.

    TYPE       IN A DICT
    records    decoded: a memoryview of the request's own bytes; encoded: any buffer
    bytes      bytes
    uuid       bytes of length 16
    []         list
    {}         dict, or None where null is allowed

Bytes that do not follow the layout raise MalformedBytesError.  Bytes after the message are ignored,
as Kafka does.  A dict that does not fit the declaration is our own mistake: TypeError,
OverflowError or ValueError, with a note that names the field.
"""

cimport cython
from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from ...core.wire_buffer cimport ReadBuffer, WriteBuffer

from ...core.errors import MalformedBytesError
from . import registry
from .schema import SchemaError

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(dict mapping, object key) except? NULL

cdef enum Opcode:
    OP_BOOL = 1
    OP_INT8
    OP_INT16
    OP_INT32
    OP_INT64
    OP_UINT16
    OP_UINT32
    OP_FLOAT64
    OP_UUID
    OP_STRING
    OP_BYTES
    OP_RECORDS
    OP_STRUCT
    OP_ARRAY

cdef enum:
    API_VERSIONS_KEY = 18
    MAX_ELEMENTS = 1_000_000     # array elements of one message; bounds the memory of hostile bytes

OPCODES = {
    "bool": OP_BOOL,
    "int8": OP_INT8,
    "int16": OP_INT16,
    "int32": OP_INT32,
    "int64": OP_INT64,
    "uint16": OP_UINT16,
    "uint32": OP_UINT32,
    "float64": OP_FLOAT64,
    "uuid": OP_UUID,
    "string": OP_STRING,
    "bytes": OP_BYTES,
    "records": OP_RECORDS,
    "struct": OP_STRUCT,
}
FIXED_SIZES = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint16": 2,
    "uint32": 4,
    "float64": 8,
    "uuid": 16,
}

cdef dict _request_plans = {}     # (api_key << 16 | api_version) -> Plan, made on first use
cdef dict _response_plans = {}
cdef dict _stored_plans = {}      # (kind, version) -> Plan
cdef bint _checks_names = False


def check_names(bint enabled) -> None:
    """Make every encoder refuse keys that its message never declares; tests turn this on."""
    global _checks_names
    _checks_names = enabled


# --- plans ---------------------------------------------------------------------------------------


@cython.final
cdef class Plan:
    """One struct at one version: its fields as opcodes, in the order of the wire."""

    def __cinit__(self, fields, int version, bint is_flexible):
        cdef Py_ssize_t i
        self.owned = []
        self.absent = {}
        self.absent_fresh = []
        self.is_flexible = is_flexible
        self.names = frozenset(spec.name for spec in fields)
        self.min_size_bytes = 1 if is_flexible else 0
        present = [spec for spec in fields if version in spec.versions]
        plain = [spec for spec in present if spec.tag < 0]
        tagged = sorted((spec for spec in present if spec.tag >= 0), key=lambda spec: spec.tag)
        self.ops = <FieldOp*>calloc(len(plain) + 1, sizeof(FieldOp))
        self.tagged_ops = <FieldOp*>calloc(len(tagged) + 1, sizeof(FieldOp))
        if self.ops == NULL or self.tagged_ops == NULL:
            raise MemoryError()
        self.op_count = len(plain)
        self.tagged_count = len(tagged)
        for i in range(self.op_count):
            self.fill_op(&self.ops[i], plain[i], version)
            self.min_size_bytes += self.least_size_of(&self.ops[i], plain[i])
        for i in range(self.tagged_count):
            self.fill_op(&self.tagged_ops[i], tagged[i], version)
        for spec in fields:
            if spec.tag >= 0 or version not in spec.versions:
                self.note_absent(spec, version)

    def __dealloc__(self):
        free(self.ops)
        free(self.tagged_ops)

    cdef int fill_op(self, FieldOp* op, spec, int version) except -1:
        default_value = spec.default_value()
        op.opcode = OP_ARRAY if spec.is_array else OPCODES[spec.type_name]
        op.element = OPCODES[spec.type_name] if spec.is_array else 0
        op.is_nullable = version in spec.nullable_versions
        op.tag = spec.tag
        if default_value is None and not op.is_nullable:
            default_value = "" if spec.type_name == "string" else b""
        self.owned.extend((spec.name, default_value))
        op.name = <PyObject*>spec.name
        op.default_value = <PyObject*>default_value
        if spec.fields:
            plan = Plan(spec.fields, version, self.is_flexible)
            self.owned.append(plan)
            op.plan = <PyObject*>plan
        return 0

    cdef Py_ssize_t least_size_of(self, FieldOp* op, spec) except -1:
        """The bytes that the shortest value of a field takes."""
        if op.opcode == OP_STRUCT:
            return 1 if op.is_nullable else (<Plan>op.plan).min_size_bytes
        if op.opcode == OP_ARRAY or op.opcode == OP_BYTES or op.opcode == OP_RECORDS:
            return 1 if self.is_flexible else 4
        if op.opcode == OP_STRING:
            return 1 if self.is_flexible else 2
        return FIXED_SIZES[spec.type_name]

    cdef int note_absent(self, spec, int version) except -1:
        """Remember what a decoder gives for a field that it does not meet."""
        default_value = spec.default_value()
        if isinstance(default_value, list):
            self.absent_fresh.append((spec.name, True, None))
        elif isinstance(default_value, dict):
            nested = Plan(spec.fields, version, self.is_flexible)
            self.absent_fresh.append((spec.name, False, nested))
        else:
            self.absent[spec.name] = default_value
        return 0

    cdef dict default_body(self):
        """A struct in which every field has its default."""
        cdef dict body = self.new_body()
        cdef Py_ssize_t i
        for i in range(self.op_count):
            value = <object>self.ops[i].default_value
            if self.ops[i].opcode == OP_ARRAY and value is not None:
                value = []
            elif self.ops[i].opcode == OP_STRUCT and value is not None:
                value = (<Plan>self.ops[i].plan).default_body()
            body[<object>self.ops[i].name] = value
        return body

    cdef dict new_body(self):
        """A dict with the defaults of the fields that may be missing on the wire."""
        cdef dict body = PyDict_Copy(self.absent) if self.absent else {}
        cdef Plan nested
        for name, is_array, nested in self.absent_fresh:
            body[name] = [] if is_array else nested.default_body()
        return body


cdef Plan make_plan(message, int64_t version):
    if version not in message.versions:
        low, high = message.versions
        raise SchemaError(f"{message.name} is declared from version {low} to {high}, not {version}")
    return Plan(message.fields, version, version in message.flexible)


cdef Plan plan_of(dict plans, messages, int64_t api_key, int64_t api_version):
    key = api_key << 16 | api_version
    cdef PyObject* found = PyDict_GetItemWithError(plans, key)
    if found != NULL:
        return <Plan>found
    message = messages.get(api_key)
    if message is None:
        raise SchemaError(f"API key {api_key} is not declared")
    plan = make_plan(message, api_version)
    plans[key] = plan
    return plan


cdef Plan request_plan(int64_t api_key, int64_t api_version):
    return plan_of(_request_plans, registry.REQUESTS, api_key, api_version)


cdef Plan response_plan(int64_t api_key, int64_t api_version):
    return plan_of(_response_plans, registry.RESPONSES, api_key, api_version)


# --- decode --------------------------------------------------------------------------------------


cdef object decode_value(
    ReadBuffer source, FieldOp* op, int opcode, bint is_flexible, int64_t* elements_left
):
    """One value of the type `opcode`; null is refused where the field does not allow it."""
    if opcode == OP_INT32:
        return source.read_int32()
    elif opcode == OP_INT64:
        return source.read_int64()
    elif opcode == OP_INT16:
        return source.read_int16()
    elif opcode == OP_STRING:
        value = source.read_string(is_flexible)
    elif opcode == OP_ARRAY:
        value = decode_array(source, op, is_flexible, elements_left)
    elif opcode == OP_STRUCT:
        if op.is_nullable and op.opcode == OP_STRUCT and source.read_int8() < 0:
            return None
        return decode_struct(source, <Plan>op.plan, elements_left)
    elif opcode == OP_RECORDS:
        value = source.read_view(is_flexible)
    elif opcode == OP_BYTES:
        value = source.read_bytes(is_flexible)
    elif opcode == OP_INT8:
        return source.read_int8()
    elif opcode == OP_BOOL:
        return source.read_int8() != 0
    elif opcode == OP_UUID:
        return source.read_uuid()
    elif opcode == OP_UINT16:
        return source.read_uint16()
    elif opcode == OP_UINT32:
        return source.read_uint32()
    else:
        return source.read_float64()
    if value is None and (not op.is_nullable or opcode != op.opcode):
        raise MalformedBytesError(f"{<object>op.name} may not be null", source.position)
    return value


cdef object decode_array(
    ReadBuffer source, FieldOp* op, bint is_flexible, int64_t* elements_left
):
    """A list, or None for null; the count is checked against the bytes left and a budget."""
    cdef int64_t count = source.read_length(is_flexible, 4)
    cdef int64_t _i
    cdef list values = []
    cdef Py_ssize_t least_size = 1
    if count < 0:
        return None
    if op.element == OP_STRUCT:
        least_size = max(1, (<Plan>op.plan).min_size_bytes)
    elements_left[0] -= count
    if elements_left[0] < 0 or count > (source.end - source.position) // least_size:
        raise MalformedBytesError(
            f"{<object>op.name} declares {count} elements of at least {least_size} bytes; "
            f"{source.end - source.position} bytes are left, and a message may hold "
            f"{<int>MAX_ELEMENTS} elements",
            source.position,
        )
    for _i in range(count):
        if op.element == OP_STRUCT:
            values.append(decode_struct(source, <Plan>op.plan, elements_left))
        else:
            values.append(decode_value(source, op, op.element, is_flexible, elements_left))
    return values


cdef object decode_struct(ReadBuffer source, Plan plan, int64_t* elements_left):
    cdef dict body = plan.new_body()
    cdef FieldOp* op
    cdef Py_ssize_t i
    for i in range(plan.op_count):
        op = &plan.ops[i]
        PyDict_SetItem(
            body,
            <object>op.name,
            decode_value(source, op, op.opcode, plan.is_flexible, elements_left),
        )
    if plan.is_flexible:
        decode_tagged_fields(source, plan, body, elements_left)
    return body


cdef int decode_tagged_fields(
    ReadBuffer source, Plan plan, dict body, int64_t* elements_left
) except -1:
    """Fill in the tagged fields we know and step over all others."""
    cdef int64_t count = source.read_unsigned_varint()
    cdef int64_t tag, end
    cdef FieldOp* op
    cdef Py_ssize_t i
    while count > 0:
        count -= 1
        tag = source.read_unsigned_varint()
        end = <int64_t>source.read_unsigned_varint() + source.position
        op = NULL
        for i in range(plan.tagged_count):
            if plan.tagged_ops[i].tag == tag:
                op = &plan.tagged_ops[i]
        if op == NULL:
            source.skip(end - source.position)
            continue
        body[<object>op.name] = decode_value(source, op, op.opcode, True, elements_left)
        if source.position != end:
            raise MalformedBytesError(
                f"the tagged field {<object>op.name} should end at byte {end}", source.position
            )
    return 0


cdef object decode_body(Plan plan, source, Py_ssize_t position):
    cdef int64_t elements_left = MAX_ELEMENTS
    return decode_struct(ReadBuffer(source, position), plan, &elements_left)


# --- encode --------------------------------------------------------------------------------------


cdef int encode_value(
    WriteBuffer out, FieldOp* op, int opcode, bint is_flexible, object value
) except -1:
    """One value of the type `opcode`."""
    if opcode == OP_INT32:
        return out.write_int32(value)
    elif opcode == OP_INT64:
        return out.write_int64(value)
    elif opcode == OP_INT16:
        return out.write_int16(value)
    elif opcode == OP_STRUCT:
        if op.is_nullable and op.opcode == OP_STRUCT:
            out.write_int8(-1 if value is None else 1)
            if value is None:
                return 0
        return encode_struct(out, <Plan>op.plan, <dict?>value)
    elif opcode == OP_INT8:
        return out.write_int8(value)
    elif opcode == OP_BOOL:
        return out.write_int8(1 if value else 0)
    elif opcode == OP_UUID:
        return out.write_uuid(value)
    elif opcode == OP_UINT16:
        return out.write_uint16(value)
    elif opcode == OP_UINT32:
        return out.write_uint32(value)
    elif opcode == OP_FLOAT64:
        return out.write_float64(value)
    if value is None and (not op.is_nullable or opcode != op.opcode):
        raise TypeError("null is not allowed in this version")
    if opcode == OP_STRING:
        return out.write_string(value, is_flexible)
    elif opcode == OP_ARRAY:
        return encode_array(out, op, is_flexible, value)
    return out.write_bytes(value, is_flexible)


cdef int encode_array(WriteBuffer out, FieldOp* op, bint is_flexible, object values) except -1:
    if values is None:
        return out.write_length(-1, is_flexible, 4)
    out.write_length(len(values), is_flexible, 4)
    if op.element == OP_STRUCT:
        for value in values:
            encode_struct(out, <Plan>op.plan, <dict?>value)
    else:
        for value in values:
            encode_value(out, op, op.element, is_flexible, value)
    return 0


cdef int encode_struct(WriteBuffer out, Plan plan, dict body) except -1:
    cdef FieldOp* op = NULL
    cdef PyObject* found
    cdef Py_ssize_t i
    if _checks_names and not (body.keys() <= plan.names):
        raise ValueError(f"not declared: {sorted(body.keys() - plan.names)}")
    try:
        for i in range(plan.op_count):
            op = &plan.ops[i]
            found = PyDict_GetItemWithError(body, <object>op.name)
            if found == NULL:
                found = op.default_value
            encode_value(out, op, op.opcode, plan.is_flexible, <object>found)
    except (TypeError, ValueError, OverflowError) as error:
        error.add_note(f"in the field {<object>op.name}")
        raise
    if plan.is_flexible:
        encode_tagged_fields(out, plan, body)
    return 0


cdef int encode_tagged_fields(WriteBuffer out, Plan plan, dict body) except -1:
    """The tag buffer: only fields whose value is not the default are sent."""
    cdef WriteBuffer value_bytes
    cdef Py_ssize_t i
    cdef Py_ssize_t count = 0
    for i in range(plan.tagged_count):
        count += not has_default(&plan.tagged_ops[i], body)
    out.write_unsigned_varint(count)
    if count == 0:
        return 0
    for i in range(plan.tagged_count):
        if has_default(&plan.tagged_ops[i], body):
            continue
        value_bytes = WriteBuffer()
        value = body[<object>plan.tagged_ops[i].name]
        encode_value(value_bytes, &plan.tagged_ops[i], plan.tagged_ops[i].opcode, True, value)
        out.write_unsigned_varint(plan.tagged_ops[i].tag)
        out.write_unsigned_varint(value_bytes.position)
        out.write_raw(value_bytes._bytes, value_bytes.position)
    return 0


cdef bint has_default(FieldOp* op, dict body) except -1:
    """Whether the field is missing in `body` or says what a missing field means."""
    cdef PyObject* found = PyDict_GetItemWithError(body, <object>op.name)
    cdef Plan plan
    cdef Py_ssize_t i
    if found == NULL or found == op.default_value:
        return True
    if op.opcode != OP_STRUCT or <object>found is None:
        return <object>found == <object>op.default_value
    if <object>op.default_value is None:
        return False
    plan = <Plan>op.plan
    for i in range(plan.op_count):
        if not has_default(&plan.ops[i], <dict?><object>found):
            return False
    for i in range(plan.tagged_count):
        if not has_default(&plan.tagged_ops[i], <dict?><object>found):
            return False
    return True


# --- the public face -----------------------------------------------------------------------------


def decode_request(int64_t api_key, int64_t api_version, body, Py_ssize_t position=0):
    """The request in `body` from byte `position` on; `records` are views of `body`."""
    return decode_body(request_plan(api_key, api_version), body, position)


def decode_response(int64_t api_key, int64_t api_version, body, Py_ssize_t position=0):
    """The response in `body` from byte `position` on; `records` are views of `body`."""
    return decode_body(response_plan(api_key, api_version), body, position)


def encode_request(int64_t api_key, int64_t api_version, dict body not None):
    cdef WriteBuffer out = WriteBuffer()
    encode_struct(out, request_plan(api_key, api_version), body)
    return out.to_bytes()


def encode_response(int64_t api_key, int64_t api_version, dict body not None):
    cdef WriteBuffer out = WriteBuffer()
    encode_struct(out, response_plan(api_key, api_version), body)
    return out.to_bytes()


def encode_response_pieces(
    int64_t api_key, int64_t api_version, dict body not None, *, Py_ssize_t threshold=4096
):
    """The response as buffers to send in order; those of `threshold` bytes and more are lent."""
    cdef WriteBuffer out = WriteBuffer(threshold)
    encode_struct(out, response_plan(api_key, api_version), body)
    return out.to_pieces()


def encode_response_frame(
    int64_t api_key,
    int64_t api_version,
    int64_t correlation_id,
    dict body not None,
    *,
    Py_ssize_t threshold=4096,
):
    """Size, response header and response as buffers to send in order, large ones lent."""
    cdef WriteBuffer out = WriteBuffer(threshold)
    cdef Plan plan = response_plan(api_key, api_version)
    out.write_int32(0)
    out.write_int32(correlation_id)
    if plan.is_flexible and api_key != API_VERSIONS_KEY:
        out.write_unsigned_varint(0)
    encode_struct(out, plan, body)
    out.patch_int32(0, out.position + out._lent_bytes - 4)
    return out.to_pieces()


cdef Plan stored_plan(kind, int64_t version):
    plan = _stored_plans.get((kind, version))
    if plan is None:
        message = registry.STORED.get(kind)
        if message is None:
            raise SchemaError(f"no stored record is called {kind!r}")
        plan = _stored_plans[kind, version] = make_plan(message, version)
    return plan


def decode_stored(kind, int64_t version, data, Py_ssize_t position=0):
    """The body of a stored record of our own topics, after its version prefix."""
    return decode_body(stored_plan(kind, version), data, position)


def encode_stored(kind, int64_t version, dict body not None):
    """The body of a stored record of our own topics, without its version prefix."""
    cdef WriteBuffer out = WriteBuffer()
    encode_struct(out, stored_plan(kind, version), body)
    return out.to_bytes()
