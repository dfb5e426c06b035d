"""Values to bytes and back: serializers, compression, tags, annotations, exceptions, and short representations.

Pure functions; nothing in this package keeps state, reads a setting, or trusts the bytes it is given.
"""

from celeriac.core.codec.body import NO_EMBED, decode, decode_args, encode, encode_args, plain_body
from celeriac.core.codec.compression import COMPRESSIONS, MAX_BYTES, compression_type
from celeriac.core.codec.content import SERIALIZERS, Encoded, accept_types, check_writable, content_type_of
from celeriac.core.codec.convert import Converter, build_converter
from celeriac.core.codec.exceptions import decode_exception, encode_exception
from celeriac.core.codec.reprs import saferepr

__all__ = [
    "COMPRESSIONS",
    "MAX_BYTES",
    "NO_EMBED",
    "SERIALIZERS",
    "Converter",
    "Encoded",
    "accept_types",
    "build_converter",
    "check_writable",
    "compression_type",
    "content_type_of",
    "decode",
    "decode_args",
    "decode_exception",
    "encode",
    "encode_args",
    "encode_exception",
    "plain_body",
    "saferepr",
]
