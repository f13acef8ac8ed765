/* Events that were masked before they came: dead letters that are replayed. */
#include "contract/event.h"
#include "contract/mask.h"

static bool no_list(struct intake *in)
{
	return finding_set(&in->finding, INTAKE_MASKED, "",
			   "the letter does not say which members are masked");
}

static bool is_text(yyjson_val *v, const char *text)
{
	return yyjson_is_str(v) && yyjson_equals_str(v, text);
}

/* Whether a member under this mask is what the rule makes of the member. */
static bool keep(struct intake *in, yyjson_val *key, yyjson_val *mask)
{
	struct event *e = &in->event;
	const char *name = yyjson_get_str(key);
	int32_t rule = shape_find(&e->model->shape, name, yyjson_get_len(key));
	const struct rule *r = rule >= 0 ? &e->model->shape.rules[rule] : NULL;

	if (!yyjson_is_str(mask))
		return no_list(in);
	if (is_text(mask, MASK_REMOVED))
		return finding_set(&in->finding, INTAKE_MASKED, name,
				   "%.60s was masked, and its value is not "
				   "in the letter",
				   name);
	if (!r || !is_text(mask, contract_mask_name(r->field->mask)))
		return finding_set(&in->finding, INTAKE_MASKED, name,
				   "%.60s was masked (%.10s), and contract %s "
				   "does not mask it that way now",
				   name, yyjson_get_str(mask),
				   e->model->pub.name);
	for (uint32_t i = 0; i < e->model->identity_count; i++)
		if (e->model->identity[i] == rule &&
		    e->model->identity_count > 1)
			return finding_set(&in->finding, INTAKE_MASKED, name,
					   "%.60s was masked, and is a part "
					   "of the identity",
					   name);
	bit_set(e->kept, (uint32_t)rule);
	e->any_kept = true;
	return true;
}

bool event_keep(struct intake_run *run)
{
	struct intake *in = run->in;
	struct event *e = &in->event;
	yyjson_doc *doc =
	    yyjson_read(run->request->masked, strlen(run->request->masked), 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *key;
	yyjson_obj_iter all = yyjson_obj_iter_with(root);
	bool good = yyjson_is_obj(root);

	memset(e->kept, 0, e->model->shape.words * sizeof(*e->kept));
	if (!good)
		no_list(in);
	while (good && (key = yyjson_obj_iter_next(&all)))
		good = keep(in, key, yyjson_obj_iter_get_val(key));
	yyjson_doc_free(doc);
	return good;
}
