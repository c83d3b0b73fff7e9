# Prints what many of perl's operators and modules make of numbers from a generator.
use strict; use warnings; no warnings 'portable';
use Digest::SHA qw(sha1_hex sha256_hex sha512_hex); use Digest::MD5 qw(md5_hex);
use Math::BigInt; use Math::BigFloat; use Compress::Zlib; use Encode; use Storable qw(freeze thaw);
use List::Util qw(sum max reduce); use POSIX qw(floor fmod strtod pow); use MIME::Base64; use threads;

my $x = 88172645463325252;
sub word { $x ^= ($x << 13) & 0xffffffffffffffff; $x ^= $x >> 7; $x ^= ($x << 17) & 0xffffffffffffffff; $x }
my @words = map { word() } 1 .. 5000;
my @doubles = map { unpack 'd', pack 'Q', $_ } @words;

my $text = join ' ', @words;
print 'digests ', join(' ', md5_hex($text), sha1_hex($text), sha256_hex($text), sha512_hex($text)), "\n";
print 'integers ', sha256_hex(join ',', map { ($words[$_] % ($words[$_ + 1] | 1), $words[$_] >> ($_ & 63), int($words[$_] / 3)) } 0 .. 4998), "\n";
my @sane = grep { $_ == $_ && abs($_) < 1e300 && abs($_) > 1e-300 } @doubles;
print 'doubles ', scalar(@sane), ' ', sha256_hex(join ',', map { sprintf '%.17g %a', $_, sqrt abs } @sane), "\n";
print 'libm ', sha256_hex(join ',', map { sprintf '%.17g', $_ } map { (sin, cos, exp(fmod($_, 300)), log(abs), atan2($_, 3)) } @sane), "\n";
print 'halves ', sha256_hex(join ',', map { unpack 'L', pack 'f', fmod($_, 1e30) } @sane), "\n";
print 'factorial ', Math::BigInt->new(120)->bfac, "\n", 'root ', Math::BigFloat->new(2)->bsqrt(80), "\n";
print 'sorted ', sha256_hex(join ',', sort { $a <=> $b } @words), ' ', sha256_hex(join ',', sort @words), "\n";
my %count; $count{$_ % 97}++ for @words;
print 'counted ', join(',', map { "$_=$count{$_}" } sort { $a <=> $b } keys %count), "\n";
(my $changed = $text) =~ s/(\d)(\d\d)(?=7)/$2$1/g;
print 'matched ', scalar(() = $text =~ /(?:1[0-5]|9+)[^3]{2,5}?4/g), ' ', md5_hex($changed), "\n";
my $packed = compress($text, 6);
print 'packed ', length($packed), ' ', crc32($packed), ' ', adler32($text), ' ', uncompress($packed) eq $text ? 'same' : 'other', "\n";
print 'encoded ', md5_hex(encode('UTF-16BE', join '', map { chr(0x20 + $_ % 0x2000) } @words)), ' ', md5_hex(encode_base64 $text), "\n";
print 'stored ', sum(@{thaw(freeze([map { $_ & 0xffff } @words]))}), "\n";
my @sums = map { $_->join } map { my $k = $_; threads->create(sub { sum(map { ($words[$_] ^ $k) & 0xffff } 0 .. 4999) }) } 1 .. 4;
print "threads @sums\n";
