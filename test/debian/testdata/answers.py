# Prints what many of python's modules make of numbers from a generator.
import array, binascii, bz2, cmath, collections, datetime, decimal, fractions, functools, hashlib, heapq, hmac, itertools
import json, lzma, sys, math, pickle, random, re, sqlite3, statistics, struct, threading, unicodedata, zlib

sys.set_int_max_str_digits(0)

def digest(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p if isinstance(p, bytes) else repr(p).encode())
    return h.hexdigest()[:32]

r = random.Random(7)
words = [r.getrandbits(64) for _ in range(4000)]
raw = struct.pack('<4000Q', *words)
doubles = [d for d in struct.unpack('<4000d', raw) if math.isfinite(d) and 1e-300 < abs(d) < 1e300]
print('random', digest(words), digest([r.gauss(0, 1) for _ in range(2000)]), digest(r.sample(range(10**6), 500)))
for name in sorted(hashlib.algorithms_guaranteed):
    h = hashlib.new(name, raw)
    print(name, h.hexdigest(20) if name.startswith('shake') else h.hexdigest())
print('hmac', hmac.new(b'key', raw, 'sha384').hexdigest())
print('derived', hashlib.pbkdf2_hmac('sha256', b'word', b'salt', 300).hex(), hashlib.scrypt(b'word', salt=b'salt', n=64, r=8, p=1).hex())
print('doubles', len(doubles), digest([d.hex() for d in doubles]), digest([repr(d) for d in doubles]), digest([float(repr(d)) for d in doubles]))
one = ['sqrt', 'exp2', 'sin', 'cos', 'tan', 'atan', 'asinh', 'erf', 'cbrt', 'expm1', 'tanh']
for name in one:
    f = getattr(math, name)
    print(name, digest([f(math.fmod(abs(d), 700)).hex() for d in doubles]))
print('gamma', digest([math.lgamma(abs(d)).hex() for d in doubles if abs(d) < 1e200]), digest([math.log(abs(d)).hex() for d in doubles]))
print('pairs', digest([(math.fmod(a, b).hex(), math.remainder(a, b).hex(), math.hypot(a, b), math.copysign(a, b)) for a, b in zip(doubles, doubles[1:])]))
print('complex', digest([cmath.exp(complex(math.fmod(a, 3), math.fmod(b, 3))) for a, b in zip(doubles, doubles[1:])]))
print('halves', digest(struct.pack(f'<{len(doubles)}e', *[math.fmod(d, 1000) for d in doubles])), digest(array.array('f', [math.fmod(d, 1e30) for d in doubles]).tobytes()))
print('sums', math.fsum(doubles).hex(), statistics.fmean([math.fmod(d, 10) for d in doubles]).hex(), statistics.stdev([math.fmod(d, 10) for d in doubles]).hex())
big = functools.reduce(lambda a, b: a * b + 1, words[:400])
print('big', digest(big), digest(big // words[5]), digest(pow(3, big, words[6] | 1)), digest(math.isqrt(big)), digest(str(big)), math.gcd(big, words[7]))
decimal.getcontext().prec = 120
print('decimal', decimal.Decimal(2).sqrt(), decimal.Decimal(1).exp(), decimal.Decimal(10).ln())
print('fractions', sum((fractions.Fraction(a % 1000 + 1, b % 1000 + 1) for a, b in zip(words[:60], words[60:120])), fractions.Fraction(0)))
for name, pack, unpack in (('zlib', zlib.compress, zlib.decompress), ('bz2', bz2.compress, bz2.decompress), ('lzma', lzma.compress, lzma.decompress)):
    text = b' '.join(b'%d' % (w % 5000) for w in words) * 3
    packed = pack(text)
    print(name, len(packed), digest(packed), unpack(packed) == text)
print('sums', zlib.crc32(raw), zlib.adler32(raw), binascii.crc_hqx(raw, 0))
text = json.dumps({str(w): [w % 7, w / 3, str(w)[::-1]] for w in words[:800]})
print('json', digest(text), digest(json.loads(text)), digest(pickle.loads(pickle.dumps(json.loads(text)))))
print('re', len(re.findall(r'(?<=1)(\d{2,4}?)\1', text)), digest(re.sub(r'(\d)(\d)', r'\2\1', text)))
letters = ''.join(chr(0x40 + w % 0x3000) for w in words)
print('letters', *(digest(unicodedata.normalize(f, letters).encode('utf-8', 'replace')) for f in ('NFC', 'NFD', 'NFKC', 'NFKD')), digest(letters.casefold()))
print('ordered', digest(sorted(words)), digest(heapq.nsmallest(50, words)), digest(collections.Counter(w % 100 for w in words).most_common()))
print('dates', digest([(datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=w % 4 * 10**9)).isoformat() for w in words]))
db = sqlite3.connect(':memory:')
db.execute('create table t (a integer, b real, c text)')
db.executemany('insert into t values (?, ?, ?)', [(w >> 1, w / 7, str(w)) for w in words])
print('sqlite', db.execute("select count(*), sum(a % 1000), avg(length(c)), max(b) from t where c glob '1*'").fetchall())
results = [0] * 4
def count(k):
    for w in words:
        results[k] = (results[k] * 31 + (w ^ k)) % (1 << 61)
threads = [threading.Thread(target=count, args=(k,)) for k in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print('threads', results, sum(1 for _ in itertools.permutations(range(7))))
