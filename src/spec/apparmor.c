#include "base/str.h"
#include "spec/build.h"

#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static const char *old_apparmor(const struct build *b)
{
	return b->sc->apparmor_profile;
}
#pragma GCC diagnostic pop

/* What is asked for: CRI's field, or the one before it, a word with a prefix. */
static struct err *asked_apparmor(struct build *b, Runtime__V1__SecurityProfile *ret, bool *ret_said)
{
	const char *word = old_apparmor(b);

	runtime__v1__security_profile__init(ret);
	*ret_said = b->sc->apparmor || !str_empty(word);
	if (b->sc->apparmor) {
		*ret = *b->sc->apparmor;
		return NULL;
	}
	ret->profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	if (str_empty(word) || !strcmp(word, "runtime/default"))
		return NULL;
	if (!strcmp(word, "unconfined")) {
		ret->profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
		return NULL;
	}
	if (!str_starts(word, "localhost/"))
		return err_new(ERR_INVALID, "apparmor: \"%.128s\" is not runtime/default, unconfined or localhost/NAME", word);
	ret->profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	ret->localhost_ref = (char *)(uintptr_t)word;
	return NULL;
}

static struct err *localhost_apparmor(const char *ref, const char **ret)
{
	*ret = str_starts(ref, "localhost/") ? ref + strlen("localhost/") : ref;
	if (!**ret)
		return err_new(ERR_INVALID, "apparmor: a localhost profile without a name");
	/* It becomes a word of a command to the kernel. */
	for (const char *s = *ret; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return err_new(ERR_INVALID, "apparmor: profile \"%.128s\": a blank or control character in its name", *ret);
	return NULL;
}

/* Nothing said is the default, but for privileged containers, which have it never: as with the other runtimes. */
struct err *build_apparmor(struct build *b, yyjson_mut_val *process)
{
	Runtime__V1__SecurityProfile p;
	const char *name = b->in->apparmor;
	bool said;

	TRY(asked_apparmor(b, &p, &said));
	switch (p.profile_type) {
	case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined:
		return NULL;
	case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault:
		if (b->sc->privileged || (!name && !said))
			return NULL;
		break;
	case RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost:
		TRY(localhost_apparmor(p.localhost_ref, &name));
		break;
	default:
		return err_new(ERR_INVALID, "apparmor: unknown profile type %d", (int)p.profile_type);
	}
	if (!b->in->apparmor)
		return err_new(ERR_INVALID, "apparmor: profile \"%.128s\" is asked for, but the node has no AppArmor",
			       name ? name : "runtime/default");
	if (strcmp(name, "unconfined") != 0)
		json_put_str(b->doc, process, "apparmorProfile", name);
	return NULL;
}
