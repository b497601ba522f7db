"""Report."""
def scorecard_text(lines, everything=False):
    out=[]
    for l in lines:
        if l['group']=='held_out' or everything:
            out.append(f"{l['method']:5s} {l['data']:12s} {l['dose']:4d} {l['theory']:22s} {l['prior']:8s} {l['grade']:8s} {l['group']:10s} "+' '.join('   -  ' if l[k] is None else f'{l[k]:6.3f}' for k in ('explained','standard_error','floor','seed_floor','ceiling'))+f" {l['nats']:.5f} {l['shift']:.5f} {l['beta'] if l['beta'] is None else round(l['beta'],6)}")
    return '\n'.join(out)
def write_report(results): return results.folder/'report.html'
