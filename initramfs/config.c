/*
 * /etc/crisp-init.conf, a line a setting, words between blanks, # begins a comment:
 *
 *   hostname NAME          dir PATH MODE          sysctl KEY VALUE
 *   default KEY VALUE      of a `when`, for a command line that does not have the key
 *   verified DISK DIR      mount that disk at DIR; DISK.roothash= and DISK.hashoffset= on the command line vouch for it
 *   boot PROGRAM ARG...    run to its end before any service
 *   service NAME           and, for that service, until the next one:
 *     run PROGRAM ARG...   env KEY=VALUE          needs PATH      (wait until PATH is there)
 *     when KEY=VALUE       only with that word on the kernel's command line; KEY= fits any value
 *     manual once final console                   port NAME       tty PATH
 *
 * The file is part of the verified image: what it says is trusted, but a slip in it is named and fatal.
 */
#include "init.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX 16384

static char config_text[CONFIG_MAX];

static void command_set(struct command *command, char **words, int count)
{
	if (count < 1 || count > ARGS_MAX)
		fail("configuration: a command of %d words", count);
	memcpy(command->argv, words, count * sizeof(*words));
	command->argv[count] = NULL;
	command->count = count;
}

/* A word of one service; false: not one of those. */
static bool service_set(struct service *s, char **words, int count)
{
	const char *key = words[0];

	if (!s)
		return false;
	if (strcmp(key, "run") == 0)
		return command_set(&s->run, words + 1, count - 1), true;
	if (count == 1) {
		bool *flag = strcmp(key, "manual") == 0 ? &s->manual : strcmp(key, "once") == 0 ? &s->once :
			strcmp(key, "final") == 0 ? &s->final : strcmp(key, "console") == 0 ? &s->console : NULL;

		if (flag)
			*flag = true;
		return flag;
	}
	if (count != 2)
		return false;
	if (strcmp(key, "env") == 0 && s->env_count < ARGS_MAX)
		return s->env[s->env_count++] = words[1], true;
	const char **text = strcmp(key, "when") == 0 ? &s->when : strcmp(key, "needs") == 0 ? &s->needs :
		strcmp(key, "port") == 0 ? &s->port : strcmp(key, "tty") == 0 ? &s->tty : NULL;
	if (text)
		*text = words[1];
	return text;
}

static bool global_set(struct config *c, char **words, int count)
{
	const char *key = words[0];

	if (strcmp(key, "hostname") == 0 && count == 2)
		return c->hostname = words[1], true;
	if (strcmp(key, "boot") == 0 && c->boot_count < BOOT_MAX)
		return command_set(&c->boot[c->boot_count++], words + 1, count - 1), true;
	if (count != 3)
		return false;
	if (strcmp(key, "dir") == 0 && c->dir_count < DIRS_MAX) {
		c->dirs[c->dir_count].path = words[1];
		c->dirs[c->dir_count++].mode = strtoul(words[2], NULL, 8);
		return true;
	}
	if (strcmp(key, "sysctl") == 0 && c->sysctl_count < SYSCTLS_MAX) {
		c->sysctls[c->sysctl_count].key = words[1];
		c->sysctls[c->sysctl_count++].value = words[2];
		return true;
	}
	if (strcmp(key, "verified") == 0 && c->verified_count < VERIFIED_MAX) {
		c->verified[c->verified_count].disk = words[1];
		c->verified[c->verified_count++].dir = words[2];
		return true;
	}
	if (strcmp(key, "default") == 0 && c->default_count < DEFAULTS_MAX) {
		c->defaults[c->default_count].key = words[1];
		c->defaults[c->default_count++].value = words[2];
		return true;
	}
	return false;
}

static struct service *service_add(struct config *c, const char *name)
{
	struct service *s;

	if (c->service_count == SERVICES_MAX)
		fail("configuration: more than %d services", SERVICES_MAX);
	s = &c->services[c->service_count++];
	s->name = name;
	s->log_in = s->log_out = s->log_fd = -1;
	return s;
}

void config_read(const char *path, struct config *c)
{
	struct service *s = NULL;
	char *line, *save, *word, *save_word, *words[ARGS_MAX + 2];
	int count, i;

	if (!read_file(path, config_text, sizeof(config_text)))
		fail("%s: cannot be read, or is over %d bytes", path, CONFIG_MAX);
	for (line = strtok_r(config_text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (line[strspn(line, " \t")] == '#')
			continue;
		count = 0;
		for (word = strtok_r(line, " \t", &save_word); word; word = strtok_r(NULL, " \t", &save_word)) {
			if (count == ARGS_MAX + 2)
				fail("%s: too many words after %s", path, words[0]);
			words[count++] = word;
		}
		if (!count)
			continue;
		if (strcmp(words[0], "service") == 0 && count == 2)
			s = service_add(c, words[1]);
		else if (!service_set(s, words, count) && !global_set(c, words, count))
			fail("%s: cannot use the line that begins with '%s'", path, words[0]);
	}
	for (i = 0; i < c->service_count; i++)
		if (!c->services[i].run.count)
			fail("%s: service %s has nothing to run", path, c->services[i].name);
}

const char *config_value(const struct config *c, const char *key)
{
	const char *value;
	int i;

	if (cmdline_get(key, &value))
		return value;
	for (i = 0; i < c->default_count; i++)
		if (strcmp(c->defaults[i].key, key) == 0)
			return c->defaults[i].value;
	return NULL;
}
