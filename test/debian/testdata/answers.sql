-- Prints what SQLite makes of rows from a generator, and tests the database that it made.
.bail on
create table t (n integer primary key, x integer, y real, s text);
with recursive g(n, x) as (select 1, 12345 union all select n + 1, (x * 1103515245 + 12345) % 2147483648 from g where n < 20000)
insert into t select n, x, x / 7.0, printf('%08x-%.5f', x, sqrt(x)) from g;
create index by_x on t (x);
create index by_s on t (s desc, y);
select count(*), sum(x), total(y), min(s), max(s) from t;
select x % 10 as d, count(*), round(avg(y), 6), group_concat(distinct n % 3) from t group by d order by d;
select sum(a.x), count(*) from t a join t b on b.x = a.x and a.n % 100 = 0;
select n, sum(x) over (order by n rows between 10 preceding and current row), ntile(7) over (order by s), rank() over (order by x % 50)
  from t where n % 997 = 0 order by n;
select hex(sin(n)), exp(n / 1000.0), ln(n), pow(n, 0.3), n >> 3, ~n & 255, n % 17 from t where n % 1999 = 1;
select json_group_array(json_object('n', n, 's', s, 'y', y)) from t where n between 500 and 505;
select s from t where s like '%0f%' and s glob '[0-4]*' order by s limit 5;
create virtual table words using fts5(s);
insert into words select s || ' word' || (n % 13) from t where n < 3000;
select count(*) from words where words match 'word5';
update t set s = upper(s), y = y * 1.5 where x % 3 = 0;
delete from t where n % 11 = 0;
select count(*), sum(x), total(y), sum(length(s)) from t where s > '4';
select quote(zeroblob(4)), typeof(1 / 3.0), 9007199254740993, 0.1 + 0.2, 1e308 * 10, cast('12abc' as integer), -7 / 2, -7 % 2;
select strftime('%Y-%m-%d %H:%M:%S', 1700000000, 'unixepoch', '+3 months'), julianday('2024-02-29');
vacuum;
pragma integrity_check;
