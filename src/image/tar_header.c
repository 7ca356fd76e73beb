#include "image/tar_header.h"

#include <string.h>

/* Offsets and sizes: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Standard". */
enum {
	NAME = 0,
	NAME_LEN = 100,
	MODE = 100,
	MODE_LEN = 8,
	UID = 108,
	UID_LEN = 8,
	GID = 116,
	GID_LEN = 8,
	SIZE = 124,
	SIZE_LEN = 12,
	MTIME = 136,
	MTIME_LEN = 12,
	SUM = 148,
	SUM_LEN = 8,
	TYPE = 156,
	LINK = 157,
	LINK_LEN = 100,
	MAGIC = 257,
	MAJOR = 329,
	MINOR = 337,
	DEV_LEN = 8,
	PREFIX = 345,
	PREFIX_LEN = 155,
	PREFIX_STAR_LEN = 131,
	STAR_MAGIC = 508,
};

bool tar_block_is_zero(const unsigned char *block)
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK_SIZE - 1) == 0;
}

static bool base256(const unsigned char *field, size_t n, int64_t *ret)
{
	/* Two's complement, the first bit aside; the second is the sign. */
	bool negative = field[0] & 0x40;
	uint64_t value = negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char byte = field[i];

		if (i == 0)
			byte = negative ? byte | 0x80 : byte & 0x7f;
		/* What is shifted out, and the sign, must be what the sign says. */
		if (value >> 55 != (negative ? 0x1ff : 0))
			return false;
		value = value << 8 | byte;
	}
	*ret = (int64_t)value;
	return true;
}

bool tar_number(const unsigned char *field, size_t n, int64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	if (n > 0 && field[0] & 0x80)
		return base256(field, n, ret);
	while (i < n && (field[i] == ' ' || field[i] == '\0'))
		i++;
	for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) {
		if (value >> 60)
			return false;
		value = value << 3 | (uint64_t)(field[i] - '0');
	}
	if (i < n && field[i] != ' ' && field[i] != '\0')
		return false;
	*ret = (int64_t)value;
	return true;
}

/* The sum of all bytes, those of the sum itself taken as spaces. */
static bool checksum_ok(const unsigned char *block)
{
	int64_t want, sum = SUM_LEN * ' ', high = 0;

	if (!tar_number(block + SUM, SUM_LEN, &want))
		return false;
	for (int i = 0; i < SUM; i++)
		sum += block[i];
	for (int i = SUM + SUM_LEN; i < TAR_BLOCK_SIZE; i++)
		sum += block[i];
	if (sum == want)
		return true;
	/* Some old tars summed signed characters: each byte above 127 counted 256 less. */
	for (int i = 0; i < TAR_BLOCK_SIZE; i++)
		high += block[i] > 127 && (i < SUM || i >= SUM + SUM_LEN);
	return sum - 256 * high == want;
}

static struct err *parse_u32(const unsigned char *field, size_t n, const char *what, uint32_t *ret)
{
	int64_t value;

	if (!tar_number(field, n, &value) || value < 0 || value > UINT32_MAX)
		return err_new(ERR_INVALID, "the %s is no number or out of range", what);
	*ret = (uint32_t)value;
	return NULL;
}

static void parse_path(const unsigned char *block, struct tar_header *h)
{
	const char *text = (const char *)block;
	size_t max = 0;

	if (memcmp(block + MAGIC, "ustar\0", 6) == 0)
		max = memcmp(block + STAR_MAGIC, "tar", 4) == 0 ? PREFIX_STAR_LEN : PREFIX_LEN;
	size_t prefix = strnlen(text + PREFIX, max), name = strnlen(text + NAME, NAME_LEN);

	if (prefix) {
		memcpy(h->path, text + PREFIX, prefix);
		h->path[prefix++] = '/';
	}
	memcpy(h->path + prefix, text + NAME, name);
	h->path[prefix + name] = '\0';
}

struct err *tar_header_parse(const unsigned char *block, struct tar_header *ret)
{
	struct tar_header h = {.type = (char)block[TYPE]};
	int64_t size;

	if (!checksum_ok(block))
		return err_new(ERR_INVALID, "not a tar header (its checksum is wrong)");
	parse_path(block, &h);
	memcpy(h.target, block + LINK, LINK_LEN);
	h.target[strnlen(h.target, LINK_LEN)] = '\0';
	h.gnu = memcmp(block + MAGIC, "ustar  \0", 8) == 0;
	TRY(parse_u32(block + MODE, MODE_LEN, "mode", &h.mode));
	TRY(parse_u32(block + UID, UID_LEN, "user", &h.uid));
	TRY(parse_u32(block + GID, GID_LEN, "group", &h.gid));
	if (!tar_number(block + SIZE, SIZE_LEN, &size) || size < 0)
		return err_new(ERR_INVALID, "the size is no number or out of range");
	if (!tar_number(block + MTIME, MTIME_LEN, &h.mtime))
		return err_new(ERR_INVALID, "the time is no number or out of range");
	h.size = (uint64_t)size;
	if (h.type == '3' || h.type == '4') {
		TRY(parse_u32(block + MAJOR, DEV_LEN, "device's major number", &h.major));
		TRY(parse_u32(block + MINOR, DEV_LEN, "device's minor number", &h.minor));
	}
	*ret = h;
	return NULL;
}
