/* What the head of a file says. */
#include "box/program.h"

#include "base/base.h"
#include "base/test.h"

#include <elf.h>

static void interpreter_of(const char *text, const char *want)
{
	struct program x;

	program_parse(text, strlen(text), &x);
	CHECK_STR(x.interpreter, want);
	CHECK(!x.machine);
}

TEST(scripts)
{
	char longest[400] = "#!";

	interpreter_of("#!/bin/sh\n", "/bin/sh");
	interpreter_of("#! \t/usr/bin/env python3\nprint()\n", "/usr/bin/env");
	interpreter_of("#!/bin/bash\r\n", "/bin/bash");
	interpreter_of("#!", "");
	interpreter_of("echo\n", "");
	interpreter_of("", "");
	memset(longest + 2, 'a', sizeof(longest) - 3);
	struct program x;

	program_parse(longest, sizeof(longest) - 1, &x);
	CHECK_INT(strlen(x.interpreter), PROGRAM_NAME_MAX - 1);
}

static struct {
	Elf64_Ehdr e;
	Elf64_Phdr p[2];
	char name[32];
} file;

static void make_file(uint16_t machine)
{
	memset(&file, 0, sizeof(file));
	memcpy(file.e.e_ident, ELFMAG, SELFMAG);
	file.e.e_ident[EI_CLASS] = ELFCLASS64;
	file.e.e_machine = machine;
	file.e.e_phoff = sizeof(file.e);
	file.e.e_phnum = 2;
	file.e.e_phentsize = sizeof(Elf64_Phdr);
	file.p[0].p_type = PT_LOAD;
	file.p[1].p_type = PT_INTERP;
	file.p[1].p_offset = offsetof(typeof(file), name);
	strcpy(file.name, "/lib/ld-musl-aarch64.so.1");
	file.p[1].p_filesz = strlen(file.name) + 1;
}

TEST(programs)
{
	struct program x;

	make_file(EM_AARCH64);
	program_parse(&file, sizeof(file), &x);
	CHECK_STR(x.machine, "aarch64");
	CHECK_STR(x.interpreter, "/lib/ld-musl-aarch64.so.1");
	make_file(999);
	program_parse(&file, sizeof(file), &x);
	CHECK_STR(x.machine, "an unknown machine");
	program_read("/proc/self/exe", &x);
	CHECK(x.machine && strstr(x.interpreter, "ld-"));
	program_read("/nonexistent", &x);
	CHECK(!x.machine && !*x.interpreter);
}

/* Each length, and each field that points somewhere. */
TEST(damaged_programs)
{
	struct program x;

	make_file(EM_X86_64);
	for (size_t n = 0; n <= sizeof(file); n++) {
		_free_ char *copy = base_alloc(n + 1);

		memcpy(copy, &file, n);
		program_parse(copy, n, &x);
		CHECK(n >= sizeof(Elf64_Ehdr) || !x.machine);
	}
	file.e.e_phoff = UINT64_MAX - 8;
	program_parse(&file, sizeof(file), &x);
	CHECK(!*x.interpreter);
	make_file(EM_X86_64);
	file.p[1].p_offset = UINT64_MAX;
	program_parse(&file, sizeof(file), &x);
	CHECK(!*x.interpreter);
	make_file(EM_X86_64);
	file.p[1].p_filesz = UINT64_MAX;
	program_parse(&file, sizeof(file), &x);
	CHECK(!*x.interpreter);
}

TEST_MAIN
